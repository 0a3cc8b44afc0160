"""What a rehearsal writes down as it goes: the timeline, and each stage with its holds."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rollout.exposure import in_words
from rollout.look import Standing
from rollout.moments import time_of_day
from rollout.plan import RolloutPlan
from rollout.plan_parts import HttpCheck, MonitoringCheck, RedisCheck, Stage
from rollout.soak import SoakState
from rollout.verdict import UNTROUBLED, Judgement, Verdict
from rollout.watch import BoundGate
from rollout.what_if import Happened, Held, Kind, Outcome, StageOutcome, WhatIf
from rollout.wording import duration_in_words


class Record:
    def __init__(self, plan: RolloutPlan, start: datetime) -> None:
        self._plan = plan
        self._start = start
        self._stages: list[StageOutcome] = []
        self._timeline: list[Happened] = []
        self._verdicts: dict[str, Verdict] = {}
        self._off: list[str] = []

    @property
    def passed_stages(self) -> bool:
        """Whether there is a stage to step back to."""
        return any(stage.passed_at is not None for stage in self._stages)

    def note(self, at: datetime, kind: Kind, text: str) -> None:
        stage = self._stages[-1].name if self._stages else ""
        self._timeline.append(Happened(at=at, stage=stage, kind=kind, text=text))

    def entered(self, at: datetime, stage: Stage, position: int) -> None:
        self._stages.append(StageOutcome(name=stage.name, entered_at=at, soak=stage.soak))
        self._verdicts = {}
        if stage.needs_approval:
            self.note(at, "approval", "an approval is needed; taken as given at once")
        count, shown = len(self._plan.stages), in_words(stage.exposure)
        soak = f"a soak of {duration_in_words(stage.soak)}"
        exposed = f"features for {shown}, {soak}" if self._plan.flags else soak
        self.note(at, "stage", f"entered, stage {position} of {count}: {exposed}")

    def passed(self, at: datetime, soak: SoakState) -> None:
        self.credited(soak)
        self._stages[-1] = self._stages[-1].model_copy(update={"passed_at": at})
        self.note(at, "stage", f"passed with {duration_in_words(soak.credit)} of credit")

    def credited(self, soak: SoakState) -> None:
        self._stages[-1] = self._stages[-1].model_copy(update={"credit": soak.credit})

    def judged(self, at: datetime, gates: Mapping[str, BoundGate], before: Standing, after: Standing) -> None:
        """Notes verdicts that changed; between a pass and nobody to judge nothing changes for the rollout."""
        if after.judgements is before.judgements:
            return
        for judgement in after.judgements:
            known = self._verdicts.get(judgement.gate)
            self._verdicts[judgement.gate] = judgement.verdict
            if known is judgement.verdict or (known in UNTROUBLED and judgement.verdict in UNTROUBLED):
                continue
            if judgement.gate in gates:
                self._timeline.append(self._changed(at, known, judgement))

    def _changed(self, at: datetime, known: Verdict | None, judgement: Judgement) -> Happened:
        return Happened(
            at=at,
            stage=self._stages[-1].name,
            kind="gate",
            text=f"{known.value} → {judgement.verdict.value}" if known else judgement.verdict.value,
            reason=judgement.reason,
            gate=judgement.gate,
            verdict=judgement.verdict.value,
            interval=judgement.as_of,
        )

    def told(self, at: datetime, soak: SoakState, transition: str, why: str) -> None:
        """What the rollout would have told people."""
        match transition:
            case "hold_began":
                since = soak.not_passing_since or soak.judged_until
                self._hold(Held(since=since, causes=soak.causes), instead=False)
                self.note(at, "hold", f"holds since {time_of_day(since, at, seconds=True)}: {why}")
            case "hold_changed":
                self._hold(self._stages[-1].held[-1].model_copy(update={"causes": soak.causes}), instead=True)
                self.note(at, "hold", f"holds also for {', '.join(soak.causes)}: {why}")
            case "hold_needs_a_person":
                self.note(at, "hold", f"still holds, a person is paged: {why}")
            case "hold_ended":
                self._hold(self._stages[-1].held[-1].model_copy(update={"until": soak.judged_until}), instead=True)
                self.note(at, "hold", "the hold ended: every gate passes again")
            case "warned":
                self.note(at, "gate", f"a warning: {', '.join(soak.warned)}")

    def turned_off(self, at: datetime, flag: str, gate: str) -> None:
        """What a rollout would have turned off alone, and the person it would have waited for."""
        self._off.append(flag)
        self.note(
            at,
            "flags",
            f"{gate} turns {flag} off alone; a rollout holds until a person decides, this goes on as its gates say",
        )

    def _hold(self, held: Held, *, instead: bool) -> None:
        stage = self._stages[-1]
        kept = stage.held[:-1] if instead else stage.held
        self._stages[-1] = stage.model_copy(update={"held": (*kept, held)})

    def went_back(self, at: datetime, soak: SoakState) -> None:
        self.credited(soak)
        text = f"goes back, for the interval that ended at {time_of_day(soak.judged_until, at, seconds=True)}"
        happened = Happened(
            at=at,
            stage=self._stages[-1].name,
            kind="rollback",
            text=text,
            gate=", ".join(soak.causes),
            interval=soak.judged_until,
        )
        self._timeline.append(happened)

    def closed(self, at: datetime, outcome: Outcome, why: str) -> WhatIf:
        return WhatIf(
            plan=self._plan.name,
            outcome=outcome,
            why=why,
            started_at=self._start,
            ended_at=at,
            stages=tuple(self._stages),
            timeline=tuple(self._timeline),
            not_played=tuple(_taken_for_granted(self._plan, self._off)),
        )


def _taken_for_granted(plan: RolloutPlan, off: Sequence[str]) -> Iterator[str]:
    used = {name for stage in plan.stages for name in stage.gates}
    if probes := sorted(name for name in used if plan.gates[name].kind == "probe"):
        yield f"probes are taken as passing: {', '.join(probes)}"
    if approvals := [stage.name for stage in plan.stages if stage.needs_approval]:
        yield f"approvals are taken as given at once: {', '.join(approvals)}"
    if any(isinstance(check, HttpCheck | RedisCheck | MonitoringCheck) for check in plan.checks):
        yield "checks before and after a stage are taken as passing"
    if off:
        yield f"what is measured later is as recorded, as if these had stayed on: {', '.join(off)}"
    yield "deployments, traffic and flags are taken as changed at once, and as changed by nobody else"
    yield "people are taken to do nothing: no pause, no promotion, no hold resolved"
