"""Who sees a flag: exposures, the snapshot that readers hold, and the stable hash that decides for a user.

The decision is a pure function of (snapshot, flag, user key, e-mail): the same in every process, on every machine.
A user inside 10 % is inside 50 %, because the threshold moves and the user's place does not. The rules are specified,
with test vectors for other languages, in `docs/flags.md`.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BASIS_POINTS = 10_000
DIGEST_BYTES = 8
HASH_SPACE = 1 << (8 * DIGEST_BYTES)

Reason = Literal["DISABLED", "LATCHED", "AUDIENCE", "SPLIT", "FULL", "UNKNOWN_FLAG", "NO_USER_KEY", "BAD_USER_KEY"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Exposure(_Frozen):
    """Nobody (`off`), the audience only, or the audience and a percentage of users in basis points (full is 10,000).

    `stage` is the name people know it by, such as `canary`; it decides nothing.
    """

    exposure: Literal["off", "audience", "percent"]
    bp: int = Field(ge=0, le=BASIS_POINTS)
    stage: str

    @model_validator(mode="after")
    def _a_share_belongs_to_a_percentage(self) -> "Exposure":
        if (self.exposure == "percent") != (self.bp > 0):
            raise ValueError(f"a percentage is above 0 basis points, {self.exposure!r} with {self.bp} makes no sense")
        return self

    @property
    def order(self) -> int:
        """Rises with how many people see the flag: off -1, audience 0, then the basis points."""
        return -1 if self.exposure == "off" else self.bp

    def shows_the_same(self, other: "Exposure") -> bool:
        return (self.exposure, self.bp) == (other.exposure, other.bp)

    def in_words(self) -> str:
        if self.exposure != "percent":
            return self.stage if self.exposure == "audience" else "off"
        return "full" if self.bp == BASIS_POINTS else f"{self.bp / 100:g}%"


OFF = Exposure(exposure="off", bp=0, stage="off")


class Audience(_Frozen):
    """People by exact e-mail domain or user key; they stay in at every exposure above off.

    Domains are kept as they compare: lower case, IDN in its ASCII form, without a trailing dot.
    """

    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    @field_validator("domains")
    @classmethod
    def _as_they_compare(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        comparable = tuple(comparable_domain(domain) for domain in domains)
        for given, domain in zip(domains, comparable, strict=True):
            if not domain or "@" in domain:
                raise ValueError(f"{given!r} is no e-mail domain such as example.com")
        return comparable


class FlagSnapshot(BaseModel):
    """The documents of one group at one instant, as readers hold them. Ordered by (epoch, rev).

    `cohort` is the hash key of all flags; without it each flag's own name. `latch` means that everything is off,
    whatever the documents say. `h` identifies the audit entry that made this snapshot. With `deadman_ms` set, the
    flags are on only while somebody keeps renewing the group's lease key, which lives that long.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: Literal[1]
    epoch: int
    rev: int
    latch: bool
    ms: int
    h: str
    cohort: str | None
    audience: Audience
    flags: Mapping[str, Exposure]
    deadman_ms: int | None = Field(default=None, gt=0)

    @property
    def position(self) -> tuple[int, int]:
        return self.epoch, self.rev

    @property
    def is_latched_off(self) -> bool:
        """What an emergency leaves behind: the latch, and every document off by itself too."""
        return self.latch and all(flag.exposure == "off" for flag in self.flags.values())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`bucket` is the user's place in basis points (0 to 9,999), None where no hash was needed or possible."""

    enabled: bool
    reason: Reason
    stage: str
    bucket: int | None = None


def user_hash(hash_key: str, user_key: str) -> int:
    """The user's place in 2**64: blake2b-64 of hash key, NUL, user key, all UTF-8, big-endian.

    Raises:
        UnicodeEncodeError: the user key has no UTF-8 form (it holds half of a surrogate pair).
    """
    text = f"{hash_key}\0{user_key}".encode()
    return int.from_bytes(blake2b(text, digest_size=DIGEST_BYTES).digest(), "big")


def threshold(bp: int) -> int:
    """A user sees the flag iff their place is below this."""
    return bp * HASH_SPACE // BASIS_POINTS


def email_domain(email: str) -> str:
    """The part after the last `@` as domains compare; empty where there is no address."""
    local, _, domain = email.rpartition("@")
    return comparable_domain(domain) if local else ""


def comparable_domain(domain: str) -> str:
    """Lower case, every IDN label in its ASCII form (NFC, Punycode), without the trailing dot of a full name.

    Only letters are folded. Compatibility characters (a full-width `n`, a Kelvin sign) stay what they are, so that a
    look-alike never becomes the domain it imitates.
    """
    return ".".join(_comparable_label(label) for label in domain.removesuffix(".").split("."))


def _comparable_label(label: str) -> str:
    if label.isascii():
        return label.lower()
    folded = unicodedata.normalize("NFC", label.lower())
    return label if folded.isascii() else "xn--" + folded.encode("punycode").decode("ascii")


def evaluate(snapshot: FlagSnapshot, flag: str, user_key: str | None, email: str | None = None) -> Evaluation:
    """Whether a user sees a flag, and why. Never raises for what a request can hold."""
    if snapshot.latch:
        return Evaluation(enabled=False, reason="LATCHED", stage="off")
    exposure = snapshot.flags.get(flag)
    if exposure is None:
        return Evaluation(enabled=False, reason="UNKNOWN_FLAG", stage="off")
    if exposure.exposure == "off":
        return Evaluation(enabled=False, reason="DISABLED", stage=exposure.stage)
    if (email and email_domain(email) in snapshot.audience.domains) or (
        user_key and user_key in snapshot.audience.users
    ):
        return Evaluation(enabled=True, reason="AUDIENCE", stage=exposure.stage)
    if not user_key:
        return Evaluation(enabled=False, reason="NO_USER_KEY", stage=exposure.stage)
    try:
        place = user_hash(snapshot.cohort or flag, user_key)
    except UnicodeEncodeError:
        return Evaluation(enabled=False, reason="BAD_USER_KEY", stage=exposure.stage)
    return Evaluation(
        enabled=place < threshold(exposure.bp),
        reason="FULL" if exposure.bp == BASIS_POINTS else "SPLIT",
        stage=exposure.stage,
        bucket=place * BASIS_POINTS // HASH_SPACE,
    )


class CompiledFlags:
    """A snapshot made ready for hot paths. Immutable: a new snapshot is a new object, swapped by one assignment."""

    def __init__(self, snapshot: FlagSnapshot) -> None:
        self.snapshot = snapshot
        self._domains = frozenset(snapshot.audience.domains)
        self._at_domains = tuple(f"@{domain}" for domain in snapshot.audience.domains)
        self._users = frozenset(snapshot.audience.users)
        self._open: dict[str, tuple[Callable[[], blake2b], int]] = {}
        if snapshot.latch:
            return
        for flag, exposure in snapshot.flags.items():
            if exposure.exposure != "off":
                state = blake2b(f"{snapshot.cohort or flag}\0".encode(), digest_size=DIGEST_BYTES)
                self._open[flag] = (state.copy, threshold(exposure.bp))

    def is_enabled(self, flag: str, user_id: str | None, email: str | None = None) -> bool:
        """As `evaluate(...).enabled`, at the price of one hash."""
        found = self._open.get(flag)
        if found is None:
            return False
        if email:
            if email.endswith(self._at_domains):
                if email[0] != "@" or email.rfind("@"):
                    return True
            # Only an address that is written in an unusual way can still be in the audience.
            elif not (email.isascii() and email.islower() and email[-1] != ".") and self._in_domain(email):
                return True
        if not user_id:
            return False
        copy, limit = found
        state = copy()
        try:
            state.update(user_id.encode())
        except UnicodeEncodeError:
            return user_id in self._users
        return int.from_bytes(state.digest(), "big") < limit or user_id in self._users

    def _in_domain(self, email: str) -> bool:
        return email_domain(email) in self._domains


def compile(snapshot: FlagSnapshot) -> CompiledFlags:  # noqa: A001  (what it does, under the name regexes gave it)
    return CompiledFlags(snapshot)
