"""The checks of other kinds in the matrix: an endpoint, a secret, a load test, and the dead-man beside a soak.

Each has its own activity and asks a system that nothing else in the matrix asks: what is wrong with that is so before
the check begins, and the rollout stands there entering its stage. The dead-man renews its lease in the flag store and
looks after the watch: it is under way all the time, and what keeps it from its work comes later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local.ports import free_port
from rollout.commands import CommandName
from rollout.progress import RolloutStatus
from sandbox.faults import Fault
from tests.flagstore.faulty_wire import FaultyWire
from tests.workflows.many_rollouts import SECRET, Land
from tests.workflows.matrix_cells import HALF, NOBODY, TENTH, Standing
from tests.workflows.outside_faults import EVERY_FAULT, FOR_EVER, OutsideFault
from tests.workflows.small_plans import A_MOMENT, AN_HOUR, Shape

AN_ENDPOINT = "{kind: http, service: backend, path: /health/overall}"
LOAD_WIRE = "LOAD_WIRE"
"""Stands in a check for the address that only the land knows."""
A_LOAD_TEST = "{kind: load_test, url: LOAD_WIRE, path: /services, concurrent_users: 1, pace: 500ms, duration: DURATION}"
A_SHORT_LOAD = A_LOAD_TEST.replace("DURATION", "30s")

HANGS, FAILS, UNACKNOWLEDGED = "hangs", "fails", "does its work and does not say so"
_S = RolloutStatus
_C = CommandName


@dataclass(frozen=True)
class Checked:
    """A plan with the check, where its rollout stands while that is under way, and as what activity that is known."""

    shape: Shape
    standing: Standing
    activity: str


_ENTERING = Standing(_S.ENTERING, TENTH)
CHECKS: Mapping[str, Checked] = {
    "endpoint": Checked(Shape(check=AN_ENDPOINT), _ENTERING, "check_endpoint"),
    "secret": Checked(
        Shape(check=f"{{kind: secret, project: {SECRET.project}, name: {SECRET.name}}}"), _ENTERING, "check_secret"
    ),
    "load": Checked(Shape(check=A_LOAD_TEST.replace("DURATION", "1h")), _ENTERING, "run_load_test"),
    "short-load": Checked(Shape(check=A_SHORT_LOAD), _ENTERING, "run_load_test"),
    "afterwards": Checked(
        Shape(check_after=AN_ENDPOINT, canary_soak=A_MOMENT), Standing(_S.SOAKING, TENTH), "check_endpoint"
    ),
    "deadman": Checked(Shape(canary_soak=AN_HOUR, deadman=True), Standing(_S.SOAKING, TENTH), "look_after_the_watch"),
}

ONCE_CHECKED: Mapping[CommandName, Standing] = {
    _C.PAUSE: Standing(_S.PAUSED, TENTH),
    _C.PROMOTE: Standing(_S.SOAKING, HALF),
    _C.EXTEND: Standing(_S.SOAKING, TENTH),
    _C.STEP_BACK: Standing(_S.AWAITING_APPROVAL, NOBODY),
    _C.SET_STAGE: Standing(_S.SOAKING, NOBODY),
    _C.REPLACE_CANDIDATE: Standing(_S.SOAKING, HALF),
    _C.RETRY: Standing(_S.SOAKING, HALF),
}
"""The same for a check of the stage that has its credit, before it passes."""

ONCE_ENTERED: Mapping[CommandName, Standing] = {
    _C.PAUSE: Standing(_S.PAUSED, TENTH),
    _C.EXTEND: Standing(_S.SOAKING, HALF),
    _C.SET_STAGE: Standing(_S.SOAKING, NOBODY),
}
"""Where what is commanded while a check is under way leads once that has passed."""


def _on_the_wire(wire_of: Callable[[Land], FaultyWire]) -> dict[str, OutsideFault]:
    def speaks(land: Land) -> None:
        wire_of(land).speak()
        wire_of(land).cut()

    def answers(land: Land) -> None:
        wire_of(land).lead_to(land.answering_http)

    return {
        HANGS: OutsideFault(lambda land: wire_of(land).silence(), speaks),
        FAILS: OutsideFault(lambda land: wire_of(land).lead_to(free_port()), answers),
        UNACKNOWLEDGED: OutsideFault(
            lambda land: wire_of(land).acknowledge_writes(False), lambda land: wire_of(land).acknowledge_writes(True)
        ),
    }


def _of_secrets(fault: Fault) -> OutsideFault:
    return OutsideFault(lambda land: land.sandbox.faults.put(fault), lambda land: land.sandbox.faults.remove(_READING))


_READING = "GetSecretVersion"
_LOAD = _on_the_wire(lambda land: land.load_wire)
FAULTS_OF: Mapping[str, Mapping[str, OutsideFault]] = {
    "endpoint": _on_the_wire(lambda land: land.endpoint_wire),
    "secret": {
        HANGS: _of_secrets(Fault(method=_READING, delay_seconds=FOR_EVER)),
        FAILS: _of_secrets(Fault(method=_READING, code="UNAVAILABLE")),
        UNACKNOWLEDGED: _of_secrets(Fault(method=_READING, code="DEADLINE_EXCEEDED", after_commit=True)),
    },
    "afterwards": _on_the_wire(lambda land: land.endpoint_wire),
    "load": _LOAD,
    "short-load": _LOAD,
    "deadman": {
        HANGS: EVERY_FAULT["the flag store is silent"],
        "looks that never end": EVERY_FAULT["Monitoring does not answer"],
        FAILS: EVERY_FAULT["the flag store is away"],
        UNACKNOWLEDGED: EVERY_FAULT["the flag store writes and does not say so"],
    },
}
