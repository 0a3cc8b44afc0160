"""What can be wrong outside of a rollout: every system it talks to, hung, failing, or done without saying so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local.ports import free_port
from sandbox.faults import Fault
from tests.workflows.many_rollouts import Land

FOR_EVER = 3600.0
LATE_SECONDS = 3.0

Act = Callable[[Land], None]


@dataclass(frozen=True)
class OutsideFault:
    """`strike` puts it in force for all calls to come, `lift` ends it; what it broke by then stays broken.

    With `keeps_rollbacks` no rollback is verified before it is lifted.
    """

    strike: Act
    lift: Act
    keeps_rollbacks: bool = False


def _all_of(faults: Mapping[str, OutsideFault]) -> OutsideFault:
    def strike(land: Land) -> None:
        for fault in faults.values():
            fault.strike(land)

    def lift(land: Land) -> None:
        for fault in faults.values():
            fault.lift(land)

    return OutsideFault(strike, lift, keeps_rollbacks=any(fault.keeps_rollbacks for fault in faults.values()))


def _cloud_run(fault: Fault) -> OutsideFault:
    return OutsideFault(lambda land: land.sandbox.faults.put(fault), _cloud_run_answers, keeps_rollbacks=True)


def _cloud_run_answers(land: Land) -> None:
    land.sandbox.faults.clear()


def _changes_are_not_acknowledged(land: Land) -> None:
    land.sandbox.faults.put(Fault(method="UpdateService", code="DEADLINE_EXCEEDED", after_commit=True))


def _changes_come_late(land: Land) -> None:
    land.sandbox.faults.reconcile_seconds = LATE_SECONDS


def _flag_store_speaks(land: Land) -> None:
    land.wire.speak()
    land.wire.cut()


def _flag_store_away(land: Land) -> None:
    land.wire.lead_to(free_port())


def _flag_store_back(land: Land) -> None:
    land.wire.lead_to(land.redis.port)


def _flag_store_does_not_acknowledge(land: Land) -> None:
    land.wire.acknowledge_writes(False)


def _flag_store_acknowledges(land: Land) -> None:
    land.wire.acknowledge_writes(True)


def _monitoring_hangs(land: Land) -> None:
    land.source.answering.clear()


def _monitoring_fails(land: Land) -> None:
    land.source.failing = "Cloud Monitoring answers 503"


def _monitoring_answers(land: Land) -> None:
    land.source.failing = ""
    land.source.answering.set()


def _channel_refuses(land: Land) -> None:
    land.channel.refusing = True


def _channel_hangs(land: Land) -> None:
    land.channel.answering.clear()


def _channel_delivers(land: Land) -> None:
    land.channel.refusing = False
    land.channel.answering.set()


HUNG: dict[str, OutsideFault] = {
    "Cloud Run does not answer changes": _cloud_run(Fault(method="UpdateService", delay_seconds=FOR_EVER)),
    "Cloud Run does not answer reads": _cloud_run(Fault(method="GetService", delay_seconds=FOR_EVER)),
    "the flag store is silent": OutsideFault(
        lambda land: land.wire.silence(), _flag_store_speaks, keeps_rollbacks=True
    ),
    "Monitoring does not answer": OutsideFault(_monitoring_hangs, _monitoring_answers),
    "telling somebody never ends": OutsideFault(_channel_hangs, _channel_delivers),
}
FAILING: dict[str, OutsideFault] = {
    "Cloud Run refuses changes": _cloud_run(Fault(method="UpdateService", code="UNAVAILABLE")),
    "Cloud Run refuses reads": _cloud_run(Fault(method="GetService", code="UNAVAILABLE")),
    "the flag store is away": OutsideFault(_flag_store_away, _flag_store_back, keeps_rollbacks=True),
    "Monitoring fails": OutsideFault(_monitoring_fails, _monitoring_answers),
    "nobody can be told": OutsideFault(_channel_refuses, _channel_delivers),
}
UNACKNOWLEDGED: dict[str, OutsideFault] = {
    "Cloud Run makes changes and does not say so": OutsideFault(_changes_are_not_acknowledged, _cloud_run_answers),
    "Cloud Run brings changes about late": OutsideFault(_changes_come_late, _cloud_run_answers),
    "the flag store writes and does not say so": OutsideFault(
        _flag_store_does_not_acknowledge, _flag_store_acknowledges
    ),
}
EVERY_FAULT = HUNG | FAILING | UNACKNOWLEDGED
EVERYTHING_AT_ONCE = {
    "everything hangs": _all_of(HUNG),
    "everything fails": _all_of(FAILING),
    "everything is done and nothing acknowledged": _all_of(UNACKNOWLEDGED),
}
