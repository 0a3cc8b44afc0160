"""Where the flags of a group live in Redis. One hash tag, so that a group's keys share a slot in a Cluster."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def groups_key(environment: str) -> str:
    """The set of every group of an environment that ever began; outside the families, in a slot of its own."""
    return f"rf:{_name('environment', environment)}:groups"


@dataclass(frozen=True)
class KeyFamily:
    """The keys of one group in one environment."""

    environment: str
    group: str

    def __post_init__(self) -> None:
        _name("environment", self.environment)
        _name("group", self.group)

    def key(self, name: str) -> str:
        return f"{{rf:{self.environment}:{self.group}}}:{name}"

    @property
    def snapshot(self) -> str:
        return self.key("snap")

    @property
    def lease(self) -> str:
        return self.key("lease")

    @property
    def acknowledgements(self) -> str:
        return self.key("acks")

    @property
    def audit(self) -> str:
        return self.key("audit")

    @property
    def meta(self) -> str:
        return self.key("meta")

    @property
    def safety(self) -> str:
        return self.key("safety")

    @property
    def channel(self) -> str:
        """The pub/sub channel on which every new snapshot is published."""
        return self.key("chg")

    def of_script(self, idempotency_key: str) -> tuple[str, ...]:
        """The keys that the store's script declares, in its order."""
        names = ("meta", "flags", "snap", "audit", f"idem:{idempotency_key}", "safety", "acks", "lease")
        return tuple(self.key(name) for name in names)


def _name(field: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{field} {value!r}: expected letters, digits, `.`, `_` and `-`, beginning with one of the first"
        )
    return value
