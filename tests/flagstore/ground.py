"""One group of flags on a real server, and the calls that most tests make of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from flagstore.client import Flags
from flagstore.store import FlagStore, StoreReply
from rollout.flags import Audience, Exposure, FlagSnapshot

ENVIRONMENT = "production"
GROUP = "shop"
OWNER = "rollout/shop/1"

OFF = Exposure(exposure="off", bp=0, stage="off")
INTERNAL = Exposure(exposure="audience", bp=0, stage="internal")
CANARY = Exposure(exposure="percent", bp=1_000, stage="canary")
STAGED = Exposure(exposure="percent", bp=5_000, stage="staged")
FULL = Exposure(exposure="percent", bp=10_000, stage="full")
LADDER = (OFF, INTERNAL, CANARY, STAGED, FULL)
FLAGS = ("basket", "search")
NO_CANDIDATES: Mapping[str, str] = MappingProxyType({})
KIM = ("user-1", "kim@example.com")


async def begin(
    store: FlagStore,
    owner: str = OWNER,
    *,
    flags: Sequence[str] = FLAGS,
    again: str | None = None,
    candidates: Mapping[str, str] = NO_CANDIDATES,
    min_epoch: int | None = None,
) -> StoreReply:
    return await store.begin(
        owner=owner,
        by="kim",
        flags=flags,
        audience=Audience(domains=("example.com",), users=()),
        cohort=None,
        ladder=LADDER,
        candidates=candidates,
        again=again,
        min_epoch=min_epoch,
    )


async def to(store: FlagStore, exposure: Exposure, fence: int, *, idempotency_key: str | None = None) -> StoreReply:
    """Every flag to one exposure."""
    return await store.set_exposures(
        dict.fromkeys(FLAGS, exposure), fence=fence, by="kim", reason="a stage", idempotency_key=idempotency_key
    )


async def climb(store: FlagStore, exposure: Exposure, fence: int) -> StoreReply:
    """Every flag to one exposure, step by step from off."""
    for step in LADDER[1 : LADDER.index(exposure)]:
        assert (await to(store, step, fence)).accepted
    return await to(store, exposure, fence)


async def snapshot_of(store: FlagStore) -> FlagSnapshot:
    snapshot = await store.read()
    assert snapshot is not None
    return snapshot


async def shown(store: FlagStore) -> set[str]:
    """The names of the stages that flags are in."""
    return {exposure.stage for exposure in (await snapshot_of(store)).flags.values()}


def flags_by(url: str, **options: object) -> Flags:
    return Flags(url, ENVIRONMENT, GROUP, **options)  # type: ignore[arg-type]
