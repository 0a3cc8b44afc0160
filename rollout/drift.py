"""Flags and traffic that nobody expected, and a flag store that has forgotten: what is there against what was set."""

from collections.abc import Sequence
from datetime import datetime

from rollout.flags import FlagSnapshot
from rollout.traffic import TrafficSplit
from rollout.verdict import Judgement, Verdict
from rollout.watch import Expected, ExpectedTraffic

DRIFT, TAKEN_BACK = "drift", "taken_back"
"""The names under which drift, and a rollback by somebody else's hand, appear among the gates' judgements."""


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


def judge_taken_back(
    expected: Expected,
    snapshot: FlagSnapshot | str,
    traffic: Sequence[tuple[ExpectedTraffic, TrafficSplit | str]],
    as_of: datetime,
) -> Judgement | None:
    """Whether somebody took the rollout back by hand: every flag off, or all traffic where it was before.

    That is a rollback in every way but the rest of it: the other half, the kill switch, the record.
    """
    done = []
    exposed = [flag for flag, wanted in expected.flags.items() if wanted.exposure != "off"]
    if exposed and isinstance(snapshot, FlagSnapshot):
        now = [snapshot.flags.get(flag) for flag in expected.flags]
        if all(shown is not None and shown.exposure == "off" for shown in now):
            done.append("every flag was turned off")
    anchored = [(wanted.split, wanted.anchor, split) for wanted, split in traffic if wanted.anchor is not None]
    moved = any(set_by_us.shares != anchor.shares for set_by_us, anchor, _ in anchored)
    if moved and all(isinstance(now, TrafficSplit) and now.shares == anchor.shares for _, anchor, now in anchored):
        done.append("the traffic was given back to what served before")
    if not done:
        return None
    return Judgement(
        gate=TAKEN_BACK,
        verdict=Verdict.FAIL,
        reason=f"somebody else took the rollout back by hand: {' and '.join(done)}",
        value=", ".join(done),
        limit="nobody",
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
