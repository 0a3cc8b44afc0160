"""Flags and traffic that nobody expected, and a flag store that has forgotten: what is there against what was set."""

from collections.abc import Sequence
from datetime import datetime

from rollout.flags import FlagSnapshot
from rollout.traffic import TrafficSplit
from rollout.verdict import Judgement, Verdict
from rollout.watch import Expected, ExpectedTraffic

DRIFT = "drift"
"""The name under which drift appears among the gates' judgements."""


def judge_drift(
    expected: Expected,
    snapshot: FlagSnapshot | str,
    traffic: Sequence[tuple[ExpectedTraffic, TrafficSplit | str]],
    as_of: datetime,
) -> Judgement:
    """Flags and traffic as read now against what the rollout last set. A string says why something was not read."""
    unread = [text for text in (snapshot, *(split for _, split in traffic)) if isinstance(text, str)]
    different = [] if isinstance(snapshot, str) else _flag_differences(expected, snapshot)
    for wanted, split in traffic:
        if isinstance(split, TrafficSplit) and split.shares != wanted.split.shares:
            different.append(
                f"{wanted.service.service} serves {split.in_words()}, the rollout set {wanted.split.in_words()}"
            )
    verdict = Verdict.FAIL if different else Verdict.ERROR if unread else Verdict.PASS
    reason = "; ".join(different or unread) or "flags and traffic are as the rollout set them"
    return Judgement(
        gate=DRIFT,
        verdict=verdict,
        reason=reason,
        value=f"{len(different)} foreign" if different else "none",
        limit="none",
        as_of=as_of,
    )


def lost_by_the_store(expected: Expected, snapshot: FlagSnapshot | None) -> str:
    """What a store has forgotten that holds nothing, or less than the rollout wrote, in words."""
    if snapshot is None:
        return f"the flag store has lost its data: it holds nothing, the rollout is at epoch {expected.fence}"
    return f"the flag store has lost writes: it is at epoch {snapshot.epoch}, the rollout at {expected.fence}"


def _flag_differences(expected: Expected, snapshot: FlagSnapshot) -> list[str]:
    return [
        f"flag {flag} is {snapshot.flags[flag].in_words() if flag in snapshot.flags else 'missing'}, "
        f"the rollout set {wanted.in_words()}"
        for flag, wanted in sorted(expected.flags.items())
        if flag not in snapshot.flags
        or (snapshot.flags[flag].exposure, snapshot.flags[flag].bp) != (wanted.exposure, wanted.bp)
    ]
