"""Flags that a gate turns off alone: when that is due, and the hold that follows until a person decides.

A flag that is off proves nothing about the feature, so the rollout does not go on without it by itself, even where the
gate passes again. Turning it on again is a person's business altogether.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from rollout.flags import Exposure
from rollout.gates import Gate
from rollout.soak import SoakState
from rollout.verdict import Judgement, Lack, Verdict
from rollout.watch import BoundGate, WatchRequest

SWITCHED_OFF = "switched_off"
"""The name under which it appears among the gates' judgements, and holds."""
REMIND_AFTER = timedelta(days=1)
"""A person is paged as the flag is turned off; the gate pages as it would without."""


def silences_after(
    gates: Mapping[str, BoundGate], before: SoakState, found: Mapping[str, Judgement]
) -> dict[str, timedelta]:
    """How long each gate that turns something off when it is silent has been so, with one more interval.

    An interval that tells nothing, as from a source that fails, neither adds to a silence nor ends it.
    """
    silences: dict[str, timedelta] = {}
    for name, bound in gates.items():
        if bound.gate.switch_off is None or not bound.gate.switch_off.silent or name not in found:
            continue
        so_far, said = before.silences.get(name, timedelta()), found[name]
        if said.silent:
            silences[name] = so_far + before.interval
        elif so_far and (said.verdict is Verdict.ERROR or said.lack is Lack.DATA):
            silences[name] = so_far
    return silences


def due(request: WatchRequest, soak: SoakState, found: Mapping[str, Judgement]) -> dict[str, str]:
    """The flags to turn off after an interval, each with the gate that says so; what is off already is not among them.

    A gate that a person passed over turns nothing off, as it does not hold.
    """
    asked: dict[str, str] = {}
    for name, bound in request.gates.items():
        if name not in request.waived and name in found:
            silence = soak.silences.get(name, timedelta())
            asked |= dict.fromkeys(_asked(bound.gate, found[name], silence), name)
    shown = request.expected.flags
    return {flag: gate for flag, gate in asked.items() if _is_on(shown.get(flag)) and flag not in request.switched_off}


def judge_switched_off(switched_off: Mapping[str, str], as_of: datetime) -> Judgement | None:
    """What holds while flags are off alone, with why, and nobody has decided; None where there are none."""
    if not switched_off:
        return None
    return Judgement(
        gate=SWITCHED_OFF,
        verdict=Verdict.FAIL,
        reason="; ".join(why for _, why in sorted(switched_off.items())),
        value=f"{', '.join(sorted(switched_off))} off",
        limit="none",
        as_of=as_of,
    )


def _asked(gate: Gate, said: Judgement, silence: timedelta) -> tuple[str, ...]:
    if gate.switch_off is None:
        return ()
    failing = gate.switch_off.failing if said.verdict is Verdict.FAIL else ()
    silent = gate.switch_off.silent if said.silent and silence >= gate.page_after else ()
    return (*failing, *silent)


def _is_on(shown: Exposure | None) -> bool:
    return shown is not None and shown.exposure != "off"
