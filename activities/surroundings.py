"""What a watch sees beside the metrics: the flags, the traffic, and endpoints that are asked now."""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

from temporalio.exceptions import ApplicationError

from activities.flag_access import Flags
from rollout.drift import judge_drift, judge_taken_back, lost_by_the_store
from rollout.flags import FlagSnapshot
from rollout.gate_judgement import judge_probe
from rollout.gates import ProbeGate
from rollout.switch_off import judge_switched_off
from rollout.traffic import ServiceRef, TrafficSplit
from rollout.verdict import Judgement, Verdict
from rollout.watch import Expected, ExpectedTraffic, WatchRequest

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


class Surroundings:
    """Reads what is there now. Whatever cannot be read is said to be unknown; nothing here raises for it."""

    def __init__(self, *, flags: Flags, traffic: TrafficReader, prober: Prober) -> None:
        self._flags = flags
        self._traffic = traffic
        self._prober = prober

    async def flags_now(self, expected: Expected) -> tuple[FlagSnapshot | str, str]:
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
        except Exception as failure:  # noqa: BLE001  (whatever failed, nothing is known; the next look tries again)
            return f"the flag store could not be read: {_in_words(failure)}", lost
        return snapshot or lost, lost

    async def look(self, request: WatchRequest, snapshot: FlagSnapshot | str, as_of: datetime) -> dict[str, Judgement]:
        """The judgements of probes, of drift, and of flags that were turned off alone, by name."""
        found: dict[str, Judgement] = {}
        for name, bound in request.gates.items():
            if isinstance(bound.gate, ProbeGate):
                url = f"{bound.base_url}{bound.gate.path}"
                found[name] = await self._ask_endpoint(name, bound.gate, url, as_of)
        for judgement in await self._changed_by_others(request, snapshot, as_of):
            found[judgement.gate] = judgement
        if (switched_off := judge_switched_off(request.switched_off, as_of)) is not None:
            found[switched_off.gate] = switched_off
        return found

    async def _ask_endpoint(self, name: str, gate: ProbeGate, url: str, as_of: datetime) -> Judgement:
        """The judgement of an endpoint's answer. One bad answer is asked again; a state answers alike each time."""
        judgement = await self._ask_once(name, gate, url, as_of)
        for _ in range(PROBES_BEFORE_A_VERDICT - 1):
            if judgement.verdict is Verdict.PASS:
                break
            await asyncio.sleep(BETWEEN_PROBES.total_seconds())
            judgement = await self._ask_once(name, gate, url, as_of)
        return judgement

    async def _ask_once(self, name: str, gate: ProbeGate, url: str, as_of: datetime) -> Judgement:
        answer = await self._prober.probe(url)
        number = (answer.body or {}).get(gate.field) if gate.field else None
        measured = float(number) if isinstance(number, int | float) and not isinstance(number, bool) else None
        return judge_probe(name, gate, status=answer.status, field=measured, as_of=as_of)

    async def _changed_by_others(
        self, request: WatchRequest, snapshot: FlagSnapshot | str, as_of: datetime
    ) -> list[Judgement]:
        expected, wanted = request.expected, request.expected.traffic
        splits = await asyncio.gather(*(self._split(one) for one in wanted))
        traffic = list(zip(wanted, splits, strict=True))
        taken_back = judge_taken_back(expected, snapshot, traffic, as_of)
        drift = judge_drift(expected, snapshot, traffic, as_of)
        return [drift] if taken_back is None else [drift, taken_back]

    async def _split(self, wanted: ExpectedTraffic) -> TrafficSplit | str:
        try:
            return await self._traffic.read_traffic(wanted.service)
        except Exception as failure:  # noqa: BLE001  (whatever failed, the answer is the same: nothing is known)
            return f"the traffic of {wanted.service.service} could not be read: {_in_words(failure)}"


def _in_words(failure: Exception) -> str:
    """What failed, without the name that only workflows tell failures apart by."""
    return failure.message if isinstance(failure, ApplicationError) else str(failure)
