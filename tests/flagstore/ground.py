"""One group of flags on a real server, and the calls that most tests make of it."""

from typing import Any

from flagstore.client import Flags
from flagstore.store import FlagStore, StoreReply
from rollout.flags import Audience, Exposure, FlagSnapshot
from tests.rollout import flag_samples

ENVIRONMENT = "production"
GROUP = "shop"
OWNER = "rollout/shop/1"

LADDER = OFF, INTERNAL, CANARY, STAGED, FULL = flag_samples.LADDER
FLAGS = ("basket", "search")
KIM = ("user-1", "kim@example.com")


async def begin(store: FlagStore, owner: str = OWNER, **given: Any) -> StoreReply:
    """With what is given, and what a test does not care about."""
    audience = Audience(domains=("example.com",), users=())
    usual: dict[str, Any] = {
        "by": "kim",
        "flags": FLAGS,
        "audience": audience,
        "cohort": None,
        "ladder": LADDER,
        "candidates": {},
    }
    return await store.begin(owner=owner, **usual | given)


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


def has_read(flags: Flags) -> bool:
    """Once at least: starting waits for that no longer than a busy machine may take."""
    return flags.snapshot is not None
