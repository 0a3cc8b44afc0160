"""One look at a soaking stage, decided: late data are credited, new intervals judged in order, the quick ones ahead.

Pure: the activity that looks (`activities/gate_watch.py`) fetches, and this says what it means.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rollout.drift import DRIFT, TAKEN_BACK
from rollout.foresight import Foresight
from rollout.gates import can_be_conclusive
from rollout.interval_judgement import Answers, has_data, judge_interval
from rollout.look_ahead import Visibility, failed_ahead
from rollout.soak import Around, SoakState, breached, counts, fill, missing, record
from rollout.soak_evidence import SoakEvidence
from rollout.switch_off import REMIND_AFTER, SWITCHED_OFF, due, silences_after
from rollout.verdict import LEAVING, UNTROUBLED, Action, Judgement, Verdict
from rollout.watch import WatchBeat, WatchReport, WatchRequest, WorthTelling

# The API takes points that are at most 25 hours old; a gap older than this will not be filled any more.
LATEST_ARRIVAL = timedelta(hours=25)
DRIFT_PAGE_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class Standing:
    """Where a watch stands: the soak, what its gates have learnt, what they said last, and which flags go off alone."""

    soak: SoakState
    evidence: SoakEvidence
    judgements: tuple[Judgement, ...]
    switch_off: Mapping[str, str] = field(default_factory=dict)

    def report(self, transition: WorthTelling, why: str = "") -> WatchReport:
        return WatchReport(
            transition=transition,
            why=why,
            switch_off=dict(self.switch_off),
            soak=self.soak,
            evidence=self.evidence,
            judgements=self.judgements,
        )

    def beat(self, as_of: datetime) -> WatchBeat:
        return WatchBeat(soak=self.soak, evidence=self.evidence, judgements=self.judgements, as_of=as_of)


@dataclass(frozen=True)
class Look:
    """What one look at a watched stage found."""

    request: WatchRequest
    answers: Answers
    ends: Sequence[datetime]
    """The intervals that every gate can be judged for, oldest first."""
    around: Mapping[str, Judgement]
    """What endpoints, flags and traffic answered now. It belongs to the newest interval: of those before it nobody
    knows anything better."""
    visibility: Visibility
    foresight: Foresight = field(default_factory=Foresight)
    """Kept from look to look of one watch, where it is at hand."""


def take_in(look: Look, standing: Standing) -> tuple[Standing, WorthTelling | None]:
    """The standing after a look, and what is worth telling of it; a look ends with the first thing that is.

    While something around is amiss, intervals before the newest neither earn credit nor end a hold, and only what their
    gates say is told of them.
    """
    request, ends = look.request, look.ends
    deciding = _deciding(request, look.around)
    before_now = _worth_before_now(standing, deciding)
    standing, transition = _late(look, standing, deciding)
    for end in ends if transition is None else ():
        judged, evidence = judge_interval(
            request.gates, look.answers, end, standing.soak, standing.evidence, look.foresight
        )
        newest = end == ends[-1]
        found = {**judged, **look.around} if newest else judged
        worth: Around = "seen" if newest else before_now
        soak, transition = _recorded(request, standing.soak, end, found, asked_now=look.around, around=worth)
        off = {} if transition == "breached" else due(request, soak, found)
        standing = Standing(soak, evidence, tuple(found.values()), off)
        if transition is not None or off:
            return standing, transition or "switch_off"
        if worth != "seen":
            continue
        if soak.standing == "passing" and (soak.credit >= request.target or request.is_promoted_at(end)):
            return standing, "credit_complete"
        if soak.standing == "passing" and _is_conclusive(request, soak, found):
            return standing, "conclusive"
    if transition is None:
        standing, transition = _ahead(look, standing)
    return standing, transition


def _worth_before_now(standing: Standing, around: Mapping[str, Judgement]) -> Around:
    """What intervals are worth in which nobody looked; nothing where something is amiss, or was when last seen."""
    before = {judgement.gate: judgement.verdict for judgement in standing.judgements}
    held = standing.soak.causes if standing.soak.standing == "holding" else ()
    troubled = [judgement.verdict for judgement in around.values() if judgement.verdict not in UNTROUBLED]
    was_amiss = any(name in held and before.get(name) not in UNTROUBLED for name in around)
    if was_amiss or any(verdict is not Verdict.ERROR for verdict in troubled):
        return "amiss"
    return "unread" if troubled else "seen"


def _deciding(request: WatchRequest, around: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """Without what only warns, or was waived by a person."""
    actions = _actions(request)
    return {
        name: judgement for name, judgement in around.items() if actions[name] != "warn" and name not in request.waived
    }


def _is_conclusive(request: WatchRequest, soak: SoakState, found: Mapping[str, Judgement]) -> bool:
    """Whether the soak may end early: its minimum is earned, and every comparison passes beyond doubt."""
    if request.minimum_soak is None or soak.credit < request.minimum_soak:
        return False
    comparisons = [found[name] for name, bound in request.gates.items() if can_be_conclusive(bound.gate)]
    return bool(comparisons) and all(judgement.conclusive for judgement in comparisons)


def _late(look: Look, standing: Standing, around: Mapping[str, Judgement]) -> tuple[Standing, WorthTelling | None]:
    """Data that arrived late for intervals in gaps: they fail all the same, and earn what they would have earned.

    They earn it once flags, traffic and endpoints are known to be as set.
    """
    request, evidence = look.request, standing.evidence
    as_set = all(judgement.verdict in UNTROUBLED for judgement in around.values())
    for end in _arrived(look, standing.soak):
        found, evidence = judge_interval(request.gates, look.answers, end, standing.soak, evidence)
        if failed := _leaving(request, found.values()):
            return Standing(breached(standing.soak, failed), evidence, tuple(found.values())), "breached"
        if not as_set:
            continue
        deciding = {name: judged for name, judged in found.items() if request.gates[name].gate.action != "warn"}
        soak = fill(standing.soak, end, deciding, counted=counts(end, standing.soak.interval, request.suspensions))
        standing = replace(standing, soak=soak, evidence=evidence)
    return standing, None


def _arrived(look: Look, soak: SoakState) -> Iterable[datetime]:
    oldest = soak.judged_until - LATEST_ARRIVAL
    return [end for end in missing(soak) if end > oldest and has_data(look.request.gates, look.answers, end)]


def _ahead(look: Look, standing: Standing) -> tuple[Standing, WorthTelling | None]:
    """What is visible of intervals that are not complete yet rolls back, and does nothing else."""
    ahead = failed_ahead(
        look.request.gates, look.answers, standing.soak, standing.evidence, look.visibility, look.foresight
    )
    failing = {judgement.gate: judgement for judgement in (*look.around.values(), *ahead)}
    failed = _leaving(look.request, failing.values())
    if not failed:
        return standing, None
    until = max((judgement.as_of for judgement in ahead), default=standing.soak.judged_until)
    said = {judgement.gate: judgement for judgement in standing.judgements} | {name: failing[name] for name in failed}
    return Standing(breached(standing.soak, failed, until), standing.evidence, tuple(said.values())), "breached"


def _leaving(request: WatchRequest, judgements: Iterable[Judgement]) -> tuple[str, ...]:
    """Gates that fail and whose failure takes the rollout back, by a stage or altogether."""
    actions = _actions(request)
    return tuple(
        sorted(
            judgement.gate
            for judgement in judgements
            if judgement.verdict is Verdict.FAIL and actions[judgement.gate] in LEAVING
        )
    )


def _recorded(
    request: WatchRequest,
    soak: SoakState,
    end: datetime,
    found: Mapping[str, Judgement],
    *,
    asked_now: Collection[str],
    around: Around,
) -> tuple[SoakState, WorthTelling | None]:
    page_after = {
        DRIFT: DRIFT_PAGE_AFTER,
        TAKEN_BACK: DRIFT_PAGE_AFTER,
        SWITCHED_OFF: REMIND_AFTER,
        **{name: bound.gate.page_after for name, bound in request.gates.items()},
    }
    counted = counts(end, soak.interval, request.suspensions)
    actions = _actions(request)
    for name in request.waived:
        # A person lets it neither hold nor stop credit. What it must take back, it takes back.
        if name in found and not (found[name].verdict is Verdict.FAIL and actions[name] in LEAVING):
            actions[name] = "warn"
    after, transition = record(
        soak, end, found, actions, page_after, counted=counted, asked_now=asked_now, around=around
    )
    return after.model_copy(update={"silences": silences_after(request.gates, soak, found)}), transition


def _actions(request: WatchRequest) -> dict[str, Action]:
    around: dict[str, Action] = {DRIFT: "hold", TAKEN_BACK: "rollback", SWITCHED_OFF: "hold"}
    return around | {name: bound.gate.action for name, bound in request.gates.items()}
