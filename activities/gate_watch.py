"""Watching a soaking stage: one look per attempt, and the server's own retries as the clock between the looks.

An attempt either returns, because something happened that is worth an event in the rollout's history, or fails
benignly and asks to be tried again when the next interval closes. No worker slot is held in between, a dead worker
costs nothing, and a soak of any length leaves the same handful of events.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clock import Clock
from activities.flag_access import Flags
from activities.recent_intervals import RecentIntervals
from rollout.drift import DRIFT, judge_drift, lost_by_the_store
from rollout.flags import FlagSnapshot
from rollout.gate_judgement import judge_probe
from rollout.gates import ProbeGate
from rollout.interval_judgement import Answers, has_data, judge_interval
from rollout.measurement import MeasurementSource, SourceFailure, TimeSeriesQuery
from rollout.soak import SoakState, Transition, counts, due, fill, missing, record
from rollout.soak_evidence import SoakEvidence, of_soak
from rollout.traffic import ServiceRef, TrafficSplit
from rollout.verdict import Action, Judgement, Verdict
from rollout.watch import Expected, ExpectedTraffic, WatchBeat, WatchReport, WatchRequest
from rollout.wording import judgements_in_a_line

STILL_SOAKING = "StillSoaking"
# A look judges at most this much backlog before it saves its state, so that a long outage is caught up in pieces.
INTERVALS_PER_LOOK = 240
# Late data are looked for now and then: a gap is asked for whole, and it may be hours long.
INTERVALS_BETWEEN_GAP_QUERIES = 15
# The API takes points that are at most 25 hours old; a gap older than this will not be filled any more.
LATEST_ARRIVAL = timedelta(hours=25)
BETWEEN_HEARTBEATS = timedelta(seconds=5)
# However late a look is, the next one does not follow at once.
SHORTEST_PAUSE = timedelta(milliseconds=200)
DRIFT_PAGE_AFTER = timedelta(minutes=5)
PROBES_BEFORE_A_VERDICT = 3
BETWEEN_PROBES = timedelta(seconds=1)


class TrafficReader(Protocol):
    async def read_traffic(self, service: ServiceRef) -> TrafficSplit:
        """The observed split; raises ApplicationError when Cloud Run cannot be read."""
        ...


class ProbeAnswer(Protocol):
    status: int | None
    body: dict[str, object] | None


class Prober(Protocol):
    async def probe(self, url: str) -> ProbeAnswer:
        """What an endpoint answers; `status` is None where it does not answer."""
        ...


class GateWatchActivities:
    """Looks at gates, flags and traffic. Every reader is given by the worker, so that none knows another."""

    def __init__(
        self,
        *,
        source: MeasurementSource,
        flags: Flags,
        traffic: TrafficReader,
        prober: Prober,
        clock: Clock,
    ) -> None:
        self._source = source
        self._flags = flags
        self._traffic = traffic
        self._prober = prober
        self._clock = clock
        self._recent = RecentIntervals(source)

    @activity.defn
    async def watch_gates(self, request: WatchRequest) -> WatchReport:
        """Look once. Returns on a transition; otherwise fails benignly until the next interval is due.

        Raises:
            ApplicationError: of type StillSoaking, retryable, with the current judgements as its text.
        """
        async with _heartbeating(beat := _last_beat(request)):
            return await self._look(request, beat)

    async def _look(self, request: WatchRequest, beat: WatchBeat) -> WatchReport:
        soak, judgements = beat.soak, beat.judgements
        evidence = of_soak(beat.evidence, soak.since, request.gates)
        snapshot, lost = await self._flags_now(request.expected)
        if isinstance(snapshot, FlagSnapshot) and snapshot.latch:
            return WatchReport(transition="latched", soak=soak, evidence=evidence, judgements=judgements, why=lost)
        now = await self._clock()
        delay = await self._ingest_delay(request)
        ends = due(soak, now - delay)
        backlog = len(ends) > INTERVALS_PER_LOOK
        ends = ends[:INTERVALS_PER_LOOK]
        if ends:
            answers = await self._ask(request, soak, ends, now)
            soak, evidence = _fill_gaps(request, soak, evidence, answers, ends[-1])
            for end in ends:
                found, evidence = judge_interval(request.gates, answers, end, soak, evidence)
                if end == ends[-1]:
                    found |= await self._look_around(request, snapshot, end)
                soak, transition = _record(request, soak, end, found)
                judgements = tuple(found.values())
                if transition is not None:
                    return WatchReport(transition=transition, soak=soak, evidence=evidence, judgements=judgements)
                if soak.credit >= request.target and soak.standing == "passing":
                    return WatchReport(
                        transition="credit_complete", soak=soak, evidence=evidence, judgements=judgements
                    )
        activity.heartbeat(WatchBeat(soak=soak, evidence=evidence, judgements=judgements, as_of=now))
        next_look = soak.judged_until + soak.interval + delay - now
        raise ApplicationError(
            judgements_in_a_line(soak, request.target, judgements),
            type=STILL_SOAKING,
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=SHORTEST_PAUSE if backlog else max(next_look, SHORTEST_PAUSE),
        )

    async def _ingest_delay(self, request: WatchRequest) -> timedelta:
        """The longest of the queries' delays: an interval is judged when all its data can be there."""
        delays = await asyncio.gather(
            *(self._source.ingest_delay(query) for query in _queries(request).values()), return_exceptions=True
        )
        # A source that fails here is asked for data next, and that failure is judged with its reason.
        return max((delay for delay in delays if isinstance(delay, timedelta)), default=timedelta())

    async def _ask(self, request: WatchRequest, soak: SoakState, ends: list[datetime], now: datetime) -> Answers:
        asked_now = (ends[-1] - soak.since) // soak.interval % INTERVALS_BETWEEN_GAP_QUERIES == 0
        gaps = [end for end in missing(soak) if end > ends[0] - LATEST_ARRIVAL] if asked_now else []
        first = {
            metric: max(soak.since, min([*ends, *gaps]) - _longest_window(request, metric, soak.interval))
            for metric in _queries(request)
        }
        answered = await asyncio.gather(
            *(
                self._recent.measure(
                    query, start=first[metric], end=ends[-1], interval=soak.interval, afresh=bool(gaps)
                )
                for metric, query in _queries(request).items()
            ),
            return_exceptions=True,
        )
        intervals, failures = {}, {}
        for metric, answer in zip(first, answered, strict=True):
            if isinstance(answer, SourceFailure):
                failures[metric] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                intervals[metric] = answer
        return Answers(now, intervals, failures)

    async def _look_around(
        self, request: WatchRequest, snapshot: FlagSnapshot | str, end: datetime
    ) -> dict[str, Judgement]:
        """Probes and drift: they are asked now, so they belong to the newest interval only."""
        found: dict[str, Judgement] = {}
        for name, bound in request.gates.items():
            if isinstance(bound.gate, ProbeGate):
                found[name] = await self._ask_endpoint(name, bound.gate, f"{bound.base_url}{bound.gate.path}", end)
        found[DRIFT] = await self._drift(request, snapshot, end)
        return found

    async def _ask_endpoint(self, name: str, gate: ProbeGate, url: str, end: datetime) -> Judgement:
        """The judgement of an endpoint's answer. One bad answer is asked again; a state answers alike each time."""
        judgement = await self._ask_once(name, gate, url, end)
        for _ in range(PROBES_BEFORE_A_VERDICT - 1):
            if judgement.verdict is Verdict.PASS:
                break
            await asyncio.sleep(BETWEEN_PROBES.total_seconds())
            judgement = await self._ask_once(name, gate, url, end)
        return judgement

    async def _ask_once(self, name: str, gate: ProbeGate, url: str, end: datetime) -> Judgement:
        answer = await self._prober.probe(url)
        number = (answer.body or {}).get(gate.field) if gate.field else None
        measured = float(number) if isinstance(number, int | float) and not isinstance(number, bool) else None
        return judge_probe(name, gate, status=answer.status, field=measured, as_of=end)

    async def _drift(self, request: WatchRequest, snapshot: FlagSnapshot | str, end: datetime) -> Judgement:
        wanted = request.expected.traffic
        splits = await asyncio.gather(*(self._split(expected) for expected in wanted))
        return judge_drift(request.expected, snapshot, list(zip(wanted, splits, strict=True)), end)

    async def _split(self, wanted: ExpectedTraffic) -> TrafficSplit | str:
        try:
            return await self._traffic.read_traffic(wanted.service)
        except Exception as failure:  # noqa: BLE001  (whatever failed, the answer is the same: nothing is known)
            return f"the traffic of {wanted.service.service} could not be read: {failure}"

    async def _flags_now(self, expected: Expected) -> tuple[FlagSnapshot | str, str]:
        """The flags as they are now, or why they are not known; and what the store had lost, if it had.

        A store that forgot may show an earlier rollout's flags to anybody: the kill switch is set in it at once.
        """
        environment, group, lost = expected.environment, expected.group, ""
        try:
            snapshot = await self._flags.snapshot(environment, group)
            if snapshot is None or snapshot.epoch < expected.fence:
                lost = lost_by_the_store(expected, snapshot)
                snapshot = await self._flags.latch_again(
                    environment, group, by="the rollout's watch", reason=lost, at_least_epoch=expected.fence + 1
                )
        except Exception as failure:  # noqa: BLE001  (as above; the next look tries again)
            return f"the flag store could not be read: {failure}", lost
        return snapshot or lost, lost


@asynccontextmanager
async def _heartbeating(beat: WatchBeat) -> AsyncIterator[None]:
    """Tells the server that this attempt is alive, with what the last one left: a dead worker is noticed in seconds."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(BETWEEN_HEARTBEATS.total_seconds())
            activity.heartbeat(beat)

    beating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        beating.cancel()


def _last_beat(request: WatchRequest) -> WatchBeat:
    details = activity.info().heartbeat_details
    if details:
        return WatchBeat.model_validate(details[0])
    return WatchBeat(soak=request.soak, evidence=request.evidence, judgements=(), as_of=request.soak.judged_until)


def _queries(request: WatchRequest) -> dict[str, TimeSeriesQuery]:
    return {metric: query for bound in request.gates.values() for metric, query in bound.queries.items()}


def _longest_window(request: WatchRequest, metric: str, interval: timedelta) -> timedelta:
    return max(getattr(bound.gate, "window", interval) for bound in request.gates.values() if metric in bound.queries)


def _actions(request: WatchRequest) -> dict[str, Action]:
    return {DRIFT: "hold", **{name: bound.gate.action for name, bound in request.gates.items()}}


def _record(
    request: WatchRequest, soak: SoakState, end: datetime, found: dict[str, Judgement]
) -> tuple[SoakState, Transition | None]:
    page_after = {DRIFT: DRIFT_PAGE_AFTER, **{name: bound.gate.page_after for name, bound in request.gates.items()}}
    counted = counts(end, soak.interval, request.suspensions)
    return record(soak, end, found, _actions(request), page_after, counted=counted)


def _fill_gaps(
    request: WatchRequest, soak: SoakState, evidence: SoakEvidence, answers: Answers, newest: datetime
) -> tuple[SoakState, SoakEvidence]:
    for end in _arrived(request, soak, answers, newest):
        found, evidence = judge_interval(request.gates, answers, end, soak, evidence)
        soak = fill(soak, end, found, counted=counts(end, soak.interval, request.suspensions))
    return soak, evidence


def _arrived(request: WatchRequest, soak: SoakState, answers: Answers, newest: datetime) -> Iterable[datetime]:
    return (end for end in missing(soak) if end > newest - LATEST_ARRIVAL and has_data(request.gates, answers, end))
