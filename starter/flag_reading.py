"""Reading flags and their record for `rollout flags`."""

from dataclasses import dataclass

from config.settings import Settings
from flagstore.audit import AuditEntry, AuditVerdict
from flagstore.store import FlagStore
from starter.flag_store_access import flag_store, store_of_flag, stores_meant
from starter.flag_views import FlagRow, rows


@dataclass(frozen=True)
class History:
    """`entries` are the newest, newest first; `verdict` is about all that the store keeps."""

    group: str
    entries: list[AuditEntry]
    verdict: AuditVerdict


async def all_rows(environment: str | None, group: str | None) -> list[FlagRow]:
    """Every flag that is meant, plan by plan.

    Raises:
        CommandEnds: nothing is meant by these names, or the store did not answer.
    """
    async with flag_store(Settings.from_environment()) as redis:
        return [row for store in await stores_meant(redis, environment, group) for row in await rows_of(store)]


async def one_row(environment: str | None, group: str | None, flag: str) -> FlagRow:
    """As `all_rows`, of one flag."""
    async with flag_store(Settings.from_environment()) as redis:
        found = await rows_of(await store_of_flag(redis, environment, flag, group))
        return next(row for row in found if row.flag == flag)


async def histories(environment: str | None, group: str | None, flag: str | None, count: int) -> list[History]:
    """The record of every group that is meant, or what it holds about one flag.

    Raises:
        CommandEnds: nothing is meant by these names, or the store did not answer.
    """
    async with flag_store(Settings.from_environment()) as redis:
        if flag is not None:
            store = await store_of_flag(redis, environment, flag, group)
            return [History(store.keys.group, await store.history(flag, count), await store.verify_audit())]
        return [
            History(store.keys.group, await store.audit(count), await store.verify_audit())
            for store in await stores_meant(redis, environment, group)
        ]


async def rows_of(store: FlagStore) -> list[FlagRow]:
    """A row per flag; none where the group's documents are gone."""
    snapshot = await store.read()
    if snapshot is None:
        return []
    return rows(store.keys.environment, store.keys.group, snapshot, await store.read_safety())
