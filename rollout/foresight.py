"""What a watch has judged already: an interval that is ahead for several looks, and then complete, is judged once.

A cache of one watch, whose gates do not change. Without it everything is judged again and says the same.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import ref

from rollout.gate_question import Question, question_of
from rollout.interval_series import IntervalSeries
from rollout.sequential_state import SequentialState
from rollout.verdict import Judgement
from rollout.watch import BoundGate


@dataclass(frozen=True)
class _Seen:
    """What a gate's interval was judged from, the state that it left, and what was said; `age` is its last words.

    A series that nobody else keeps is made afresh for the next look: held here it would take memory for nothing.
    """

    series: tuple[ref[IntervalSeries], ...]
    before: SequentialState | None
    after: SequentialState | None
    judgement: Judgement
    age: str


@dataclass
class Foresight:
    """A series grows at its end and is made afresh where data came late: within one, an interval stays as it is."""

    _seen: dict[tuple[str, datetime], _Seen] = field(default_factory=dict)
    _asked: dict[str, tuple[BoundGate, timedelta, Question | None]] = field(default_factory=dict)

    def question(self, name: str, bound: BoundGate, interval: timedelta) -> Question | None:
        """What the gate asks; to look it up by all that is in the gate takes longer than to answer it."""
        asked = self._asked.get(name)
        if asked is None or asked[0] is not bound or asked[1] != interval:
            asks = question_of(bound.gate, bound.baseline, interval, bound.planned_share, bound.users)
            self._asked[name] = asked = (bound, interval, asks)
        return asked[2]

    def recall(
        self, name: str, end: datetime, series: tuple[IntervalSeries, ...], before: SequentialState | None, age: str
    ) -> tuple[SequentialState | None, Judgement] | None:
        """The state and the judgement after this interval, if the gate was judged on just that; `age` is told anew."""
        seen = self._seen.get((name, end))
        if seen is None or [id(each()) for each in seen.series] != [*map(id, series)] or seen.before != before:
            return None
        if age == seen.age:
            return seen.after, seen.judgement
        reason = seen.judgement.reason.removesuffix(seen.age) + age
        return seen.after, seen.judgement.model_copy(update={"reason": reason})

    def remember(
        self,
        name: str,
        series: tuple[IntervalSeries, ...],
        before: SequentialState | None,
        after: SequentialState | None,
        judgement: Judgement,
        age: str,
    ) -> None:
        # What was said without its age at the end would be said again with an old one, or with two.
        if judgement.reason.endswith(age):
            self._seen[name, judgement.as_of] = _Seen(tuple(map(ref, series)), before, after, judgement, age)

    def forget_until(self, moment: datetime) -> None:
        """Intervals that end at or before `moment` are not judged again."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[1] > moment}
