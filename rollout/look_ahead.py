"""When data become visible, metric by metric, and what the quick ones say before the slow ones have spoken.

An interval counts once every gate can be judged. A rollback does not wait for that: what is visible already is judged
ahead, and counts, with everything else, when the interval is complete.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.foresight import Foresight
from rollout.gates import metrics_of
from rollout.interval_judgement import Answers, judge_interval
from rollout.soak import SoakState, align_down, due
from rollout.soak_evidence import SoakEvidence
from rollout.verdict import LEAVING, Judgement, Verdict
from rollout.watch import BoundGate


@dataclass(frozen=True)
class Visibility:
    """How long after an interval's end each metric's points may still be missing, as of `now`."""

    now: datetime
    delays: Mapping[str, timedelta]

    def until(self, metrics: Iterable[str]) -> datetime:
        """Intervals that end later than this may lack points of some of these metrics."""
        return self.now - max((self.delays[metric] for metric in metrics if metric in self.delays), default=timedelta())

    @property
    def complete_until(self) -> datetime:
        return self.until(self.delays)

    def next_look(self, interval: timedelta) -> timedelta:
        """How long until the quickest metric has something new."""
        quickest = min(self.delays.values(), default=timedelta())
        return align_down(self.now - quickest, interval) + interval + quickest - self.now


def failed_ahead(
    gates: Mapping[str, BoundGate],
    answers: Answers,
    soak: SoakState,
    evidence: SoakEvidence,
    visibility: Visibility,
    foresight: Foresight,
) -> tuple[Judgement, ...]:
    """Gates that leave the stage and fail on an interval whose slower metrics are still to come; each once."""
    failed = []
    foresight.forget_until(soak.judged_until)
    for name, bound in gates.items():
        if bound.gate.action not in LEAVING or not metrics_of(bound.gate):
            continue
        ahead = evidence
        for end in due(soak, visibility.until(metrics_of(bound.gate))):
            judged, ahead = judge_interval({name: bound}, answers, end, soak, ahead, foresight)
            if judged[name].verdict is Verdict.FAIL:
                failed.append(judged[name])
                break
    return tuple(failed)
