"""What a sequential gate measured, and what it was not given, in words for people; decisions rest on the evidence."""

from rollout.counting import counted
from rollout.interval_estimates import newcombe, wilson
from rollout.sequential_evidence import usable
from rollout.sequential_model import Interval, SequentialGate
from rollout.sequential_state import SequentialState
from rollout.verdict import Verdict

SHOWN_Z = 2.5758
"""For people: the 99 % interval around what was measured so far."""


def absent(gate: SequentialGate, interval: Interval) -> tuple[Verdict, str] | None:
    """What an interval lacks to be judged; None where it has all.

    Only a source that says so itself knows that nobody was there. Of a group that is missing nobody knows.

    Raises:
        ValueError: it holds another kind of data than the gate judges.
    """
    if usable(gate, interval) is not None:
        return None
    treated, control = interval.treated, interval.control
    if treated is None:
        return Verdict.UNKNOWN, "no data of the treated group in this interval"
    if treated.total > 0:
        missing = "no data of the control group" if control is None else "nobody in the control group"
        return Verdict.UNKNOWN, f"{missing} in this interval, to compare with"
    if control is not None and control.total == 0:
        return Verdict.UNKNOWN, "nobody in this interval, in control neither"
    return Verdict.IDLE, "nobody to judge in this interval"


def measured(gate: SequentialGate, state: SequentialState) -> str:
    """What was measured over the soak so far, with a 99 % interval; for people, the decision rests on the evidence."""
    keys = state.keys[0]
    if keys.total == 0:
        return "nothing measured so far"
    share = keys.bad / keys.total
    if gate.statistic == "level":
        mean = keys.average.difference / keys.average.weight if keys.average.weight else 0.0
        intervals = counted(keys.average.intervals, "interval")
        return f"mean score {(1 - mean) * 100:.3f} %, limit ≥ {gate.limit}; {intervals}"
    if gate.kind != "versus_control":
        low, high = wilson(keys.bad, keys.total, SHOWN_Z)
        limit = "0" if gate.kind == "zero_tolerance" else f"{gate.allowed_share * 100:.3g} %"
        between = f"99 % interval {low * 100:.3f} to {high * 100:.3f}"
        return f"{share * 100:.3f} % bad, {between}, limit {limit}; {counted(keys.total, 'observation')}"
    reference = keys.control_bad / keys.control_total
    sizes = f"{keys.total:,} and {keys.control_total:,} requests"
    if gate.max_increase is not None:
        edge = state.compared_ms
        return (
            f"{share * 100:.2f} % above {edge:g} ms against {reference * 100:.2f} % in control, "
            f"limit p95 +{gate.max_increase * 100:g} %; {sizes}"
        )
    low, high = newcombe(keys.bad, keys.total, keys.control_bad, keys.control_total, SHOWN_Z)
    return (
        f"{share * 100:.2f} % against {reference * 100:.2f} % in control: {(share - reference) * 100:+.2f} points, "
        f"99 % interval {low * 100:+.2f} to {high * 100:+.2f}, limit +{(gate.max_difference or 0) * 100:.2f}; {sizes}"
    )
