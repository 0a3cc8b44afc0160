"""Flags and their record in words, for people and for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from rich.table import Table

from flagstore.audit import AuditEntry
from flagstore.replies import SafetyState
from rollout.counting import counted
from rollout.flags import Exposure, FlagSnapshot


class FlagRow(BaseModel):
    """One flag as it stands. `latched` means that it stays off until somebody rearms its group."""

    environment: str
    group: str
    flag: str
    stage: str
    shown_to: str
    latched: bool
    owner: str | None
    epoch: int
    rev: int
    changed_at: datetime


def rows(environment: str, group: str, snapshot: FlagSnapshot, safety: SafetyState) -> list[FlagRow]:
    """A row per flag of a group, by name."""
    return [
        FlagRow(
            environment=environment,
            group=group,
            flag=flag,
            stage="off" if snapshot.latch else exposure.stage,
            shown_to=shown_to(exposure, snapshot),
            latched=snapshot.latch,
            owner=safety.owner,
            epoch=snapshot.epoch,
            rev=snapshot.rev,
            changed_at=datetime.fromtimestamp(snapshot.ms / 1000, UTC),
        )
        for flag, exposure in sorted(snapshot.flags.items())
    ]


def shown_to(exposure: Exposure, snapshot: FlagSnapshot) -> str:
    """Who sees a flag, in words: nobody, the audience's domains, a share of all users, everybody."""
    if snapshot.latch or exposure.exposure == "off":
        return "nobody"
    if exposure.in_words() == "full":
        return "everybody"
    audience = [*snapshot.audience.domains, *(counted(len(snapshot.audience.users), "named user"),)]
    inside = " and ".join(audience if snapshot.audience.users else audience[:-1])
    if exposure.exposure == "audience":
        return inside or "nobody: the audience is empty"
    return f"{exposure.in_words()} of users{f' and {inside}' if inside else ''}"


def flags_table(found: Sequence[FlagRow]) -> Table:
    table = Table("Flag", "Stage", "Shown to", "Plan", "Environment", "Changed", "Owner")
    for row in found:
        stage = f"{row.stage} (kill switch set)" if row.latched else row.stage
        changed = f"{row.changed_at:%Y-%m-%d %H:%M:%S} UTC"
        table.add_row(row.flag, stage, row.shown_to, row.group, row.environment, changed, row.owner or "nobody")
    return table


def history_table(entries: Sequence[AuditEntry]) -> Table:
    table = Table("When (UTC)", "What", "Outcome", "Flags", "By", "Reason")
    for entry in entries:
        outcome = entry.status if not entry.detail else f"{entry.status} ({entry.detail})"
        changed = "\n".join(change_in_words(flag, *change) for flag, change in sorted(entry.changes.items()))
        when = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, entry.op, outcome, changed or "–", entry.by or "–", entry.reason or "–")
    return table


def change_in_words(flag: str, before: Exposure | None, after: Exposure | None) -> str:
    """Such as `search: off → 10%`."""
    return (
        f"{flag}: {'none' if before is None else before.in_words()} → {'none' if after is None else after.in_words()}"
    )


def entry_for_programs(group: str, entry: AuditEntry) -> dict[str, Any]:
    return {"group": group, **entry.model_dump(mode="json")}
