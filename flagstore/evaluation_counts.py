"""How often each flag was answered how, for comparing treated with control: an OpenFeature hook.

counts = EvaluationCounts()
api.add_hooks([counts])
"""

import threading
from collections import Counter
from typing import NamedTuple

from openfeature.flag_evaluation import FlagEvaluationDetails, FlagValueType
from openfeature.hook import Hook, HookContext, HookHints


class Answer(NamedTuple):
    """`rev` is that of the snapshot that decided, 0 where none did."""

    flag: str
    variant: str
    reason: str
    rev: int


class EvaluationCounts(Hook):
    """Counts every answer that went through an OpenFeature client. `take` hands the counts over and begins anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Answer] = Counter()

    def finally_after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[FlagValueType],
        hints: HookHints,  # noqa: ARG002  (OpenFeature passes all three by keyword)
    ) -> None:
        rev = details.flag_metadata.get("rev", 0)
        answer = Answer(
            hook_context.flag_key, details.variant or "default", str(details.reason), rev if isinstance(rev, int) else 0
        )
        with self._lock:
            self._counts[answer] += 1

    def take(self) -> Counter[Answer]:
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken
