"""What a reader holds of a group, and what it makes of every snapshot that reaches it. Pure: no clock, no I/O.

Snapshots are ordered by (epoch, rev). A reader never goes back: where the store itself went back (a failover that lost
writes, an emptied server), it shows of each flag the smaller exposure until a newer position appears.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from rollout.flags import BASIS_POINTS, OFF, Audience, Exposure, FlagSnapshot


class Source(Enum):
    """A push may arrive late, a read of the primary says what is there now."""

    PUSH = "push"
    READ = "read"


class Effect(Enum):
    APPLIED = "applied"
    CONFIRMED = "confirmed"
    LATE = "late"
    REGRESSED = "regressed"
    EMPTY = "empty"
    FAILED = "failed"


class Limit(Enum):
    """Why less is shown than the snapshot says."""

    NONE = "none"
    NOT_READY = "no snapshot has been seen yet"
    REGRESSED = "the store has lost writes"
    DEADMAN = "nobody renews the rollout's lease"
    PARTIAL_LEASE_OVER = "no contact with the store for the lease of partial exposure"
    FULL_LEASE_OVER = "no contact with the store for the lease of full exposure"


@dataclass(frozen=True)
class Leases:
    """How long a reader without any contact goes on showing a flag: partly exposed, and to everybody."""

    partial: timedelta = timedelta(seconds=10)
    full: timedelta = timedelta(seconds=240)


@dataclass(frozen=True)
class Held:
    """`newest` has the greatest position ever seen; `shown` is what applications evaluate, never more than that."""

    newest: FlagSnapshot | None = None
    shown: FlagSnapshot | None = None
    regressed: bool = False
    lease_alive: bool = True

    def received(
        self, found: FlagSnapshot | None, source: Source, *, lease_alive: bool = True
    ) -> tuple["Held", Effect]:
        """What is held after `found` arrived (None: a read found nothing), and what that did."""
        if source is Source.PUSH:
            # Only a read looks at the dead-man's lease.
            lease_alive = self.lease_alive
        if self.newest is None or self.shown is None:
            return (self, Effect.EMPTY) if found is None else (_holding(found, lease_alive), Effect.APPLIED)
        if found is not None and found.position > self.newest.position:
            return _holding(found, lease_alive), Effect.APPLIED
        if found is not None and found.position == self.newest.position and found.h == self.newest.h:
            return replace(self, lease_alive=lease_alive), Effect.CONFIRMED
        if found is not None and found.position < self.newest.position and source is Source.PUSH:
            return self, Effect.LATE
        least = everything_off(self.shown) if found is None else _least(self.shown, found)
        return replace(self, shown=least, regressed=True, lease_alive=lease_alive), Effect.REGRESSED

    def shown_after(self, silent_for: float, leases: Leases) -> tuple[FlagSnapshot | None, Limit, float]:
        """What to evaluate after `silent_for` seconds without contact, why so little, and for how many seconds more."""
        if self.shown is None:
            return None, Limit.NOT_READY, float("inf")
        full, partial = leases.full.total_seconds(), leases.partial.total_seconds()
        if self.shown.deadman_ms is not None:
            # Without contact nobody can tell that the lease was renewed, so its length is a limit of its own.
            full = min(full, self.shown.deadman_ms / 1000)
            if not self.lease_alive:
                return everything_off(self.shown), Limit.DEADMAN, float("inf")
        partial = min(partial, full)
        if silent_for >= full:
            return everything_off(self.shown), Limit.FULL_LEASE_OVER, float("inf")
        if silent_for >= partial:
            return without_partial(self.shown), Limit.PARTIAL_LEASE_OVER, full - silent_for
        return self.shown, Limit.REGRESSED if self.regressed else Limit.NONE, partial - silent_for


def everything_off(snapshot: FlagSnapshot) -> FlagSnapshot:
    return snapshot.model_copy(update={"flags": dict.fromkeys(snapshot.flags, OFF)})


def without_partial(snapshot: FlagSnapshot) -> FlagSnapshot:
    """Flags that everybody sees stay; where two versions run side by side, the older one is safe."""
    flags = {flag: exposure if exposure.bp == BASIS_POINTS else OFF for flag, exposure in snapshot.flags.items()}
    return snapshot.model_copy(update={"flags": flags})


def _holding(found: FlagSnapshot, lease_alive: bool) -> Held:
    return Held(newest=found, shown=found, lease_alive=lease_alive)


def _least(shown: FlagSnapshot, found: FlagSnapshot) -> FlagSnapshot:
    domains, users = set(found.audience.domains), set(found.audience.users)
    audience = Audience(
        domains=tuple(domain for domain in shown.audience.domains if domain in domains),
        users=tuple(user for user in shown.audience.users if user in users),
    )
    flags: Mapping[str, Exposure] = {
        flag: min(exposure, found.flags.get(flag, OFF), key=lambda one: one.order)
        for flag, exposure in shown.flags.items()
    }
    return shown.model_copy(update={"latch": shown.latch or found.latch, "audience": audience, "flags": flags})
