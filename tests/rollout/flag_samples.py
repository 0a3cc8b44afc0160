"""Flags of the shipped plan, in the states that a rollout walks them through."""

from rollout.flags import OFF, Audience, Exposure, FlagSnapshot

FLAGS = ("request_isolation", "factory_pattern", "websocket_isolation")
DOMAIN = "netrasystems.ai"

INTERNAL = Exposure(exposure="audience", bp=0, stage="internal")
CANARY = Exposure(exposure="percent", bp=1_000, stage="canary")
STAGED = Exposure(exposure="percent", bp=5_000, stage="staged")
FULL = Exposure(exposure="percent", bp=10_000, stage="full")
LADDER = (OFF, INTERNAL, CANARY, STAGED, FULL)


def snapshot_of(
    exposure: Exposure,
    *,
    latch: bool = False,
    cohort: str | None = None,
    domains: tuple[str, ...] = (DOMAIN,),
    users: tuple[str, ...] = (),
) -> FlagSnapshot:
    """Every flag at one exposure."""
    return FlagSnapshot(
        v=1,
        epoch=1,
        rev=1,
        latch=latch,
        ms=0,
        h="",
        cohort=cohort,
        audience=Audience(domains=domains, users=users),
        flags=dict.fromkeys(FLAGS, exposure),
    )
