"""Since when a gate has been worse, for people: over a soak of days, an hour that is worse hardly moves the average."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from rollout.moments import time_of_day
from rollout.sequential_model import SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState
from rollout.verdict import Verdict


class _Sums(NamedTuple):
    bad: float = 0
    total: float = 0
    control_bad: float = 0
    control_total: float = 0
    lost: float = 0.0
    weight: float = 0.0

    @classmethod
    def of(cls, state: SequentialState) -> "_Sums":
        keys = state.keys[0]
        average = keys.average
        sums = keys.bad, keys.total, keys.control_bad, keys.control_total
        return cls(*sums, average.difference, average.weight)

    def since(self, earlier: "_Sums") -> "_Sums":
        return _Sums(*(now - before for now, before in zip(self, earlier, strict=True)))


@dataclass(frozen=True)
class WorseSince:
    """The last interval before something began to speak against the new code, and what had been counted until then."""

    end: datetime | None = None
    sums: _Sums = field(default_factory=_Sums)
    harm: float = 1.0

    def after(self, state: SequentialState, judgement: SequentialJudgement) -> "WorseSince":
        now = _Sums.of(state)
        if now.total < self.sums.total:
            # Counted anew at other bucket edges.
            return WorseSince()
        harm = judgement.evidence.harm
        if harm <= min(state.keys[0].harmless, self.harm):
            # What came late is judged now, and is no news of now.
            return WorseSince(state.newest, now, harm)
        return replace(self, harm=harm)

    def in_words(self, gate: SequentialGate, state: SequentialState, judgement: SequentialJudgement) -> str:
        """What was measured since then; nothing where that is the whole soak, or is not what the judgement is about."""
        proven = judgement.verdict in (Verdict.SUSPECT, Verdict.FAIL)
        by_size = judgement.verdict is Verdict.SUSPECT and state.sample is not None and state.sample.alarmed
        found = _Sums.of(state).since(self.sums)
        if self.end is None or not proven or by_size or gate.must_be_zero or self.sums.total == 0 or found.total <= 0:
            return ""
        since = f"since {time_of_day(self.end, judgement.interval)}"
        if gate.statistic == "level":
            return f"{since} mean score {(1 - found.lost / found.weight) * 100:.3f} %" if found.weight > 0 else ""
        share = found.bad / found.total
        if gate.kind != "versus_control" or found.control_total <= 0:
            return f"{since} {share * 100:.3f} % bad, of {found.total:,.0f}"
        reference = found.control_bad / found.control_total
        compared = f"{share * 100:.2f} % against {reference * 100:.2f} %, {(share - reference) * 100:+.2f} points"
        return f"{since} {compared}, of {found.total:,.0f} and {found.control_total:,.0f}"
