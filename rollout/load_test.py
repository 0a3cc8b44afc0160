"""A load test: what its users do, what they met, and which limits that breaks. `loadtest/` runs it.

The contract with the application that is tested: a user is named in a header of every request, and every answer says
whose data it carries, in a JSON field or a header. So a breach of isolation is seen from outside, by the user it hit.
"""

from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from rollout.counting import counted
from rollout.quantity import Duration, Share, format_duration, format_share

MOST_USERS = 5_000
"""Simulated in one process; more would measure the machine that makes the load."""
LONGEST_DURATION = timedelta(hours=24)
SHORTEST_DURATION = timedelta(seconds=1)
FEWEST_MIXED_USERS = 3
"""One of each kind."""
USERS_NAMED = 5
"""Users with a breach that a sentence names; the table and the JSON name more."""

_HEADER, _PATH, _DOMAIN = r"^[A-Za-z0-9-]{1,64}$", r"^/[!-~]*$", r"^[a-z0-9-]+(\.[a-z0-9-]+)+$"
PATTERNS_IN_WORDS = {
    _HEADER: "must be the name of a header: letters, digits and hyphens",
    _PATH: "must be a path that begins with / and has no spaces",
    _DOMAIN: "must be a plain lower-case domain such as example.com",
}
HeaderName = Annotated[str, Field(pattern=_HEADER)]
PathName = Annotated[str, Field(pattern=_PATH)]
Domain = Annotated[str, Field(pattern=_DOMAIN)]


class LoadProfile(BaseModel):
    """What the users of a load test do, how the application names whose data it serves, and the limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrent_users: int = Field(ge=1, le=MOST_USERS, description=f"at most {MOST_USERS}")
    duration: Duration = Field(description="how long, from the first user on; at most 24h")
    mixed_traffic: bool = Field(
        default=False, description="health pages and WebSocket sessions beside the requests; at least 3 users"
    )
    monitor_isolation: bool = Field(
        default=False, description="check in every answer whose data it carries; any breach breaks the limit"
    )
    max_error_rate: Share = Field(
        default=0.01, description="failed requests, health pages and sessions; 1% unless said"
    )
    max_p95: Duration | None = Field(default=None, description="of the requests to `path`")
    max_lost_events: int = Field(
        default=0, ge=0, description="WebSocket events missing between two numbers; none unless said"
    )
    pace: Duration = Field(
        default=timedelta(seconds=1),
        json_schema_extra={"default": "1s"},
        description="a user's mean pause between two requests",
    )
    path: PathName = Field(default="/work", description="what users ask for")
    health_paths: tuple[PathName, ...] = Field(
        default=("/health/overall",), description="with `mixed_traffic`; `/health/overall` unless said"
    )
    events_path: PathName = Field(default="/events", description="the WebSocket, asked for with `?after=NUMBER`")
    email_domains: tuple[Domain, ...] = Field(
        default=("example.com",),
        description="the users' addresses, in turn; an audience's domain to be among it; `example.com` unless said",
    )
    user_header: HeaderName = Field(default="X-User", description="tells the application who asks")
    email_header: HeaderName = Field(default="X-Email", description="tells it the user's address")
    owner_field: str = Field(
        default="state_of", min_length=1, description="the answer's JSON field that says whose data it carries"
    )
    owner_header: HeaderName | None = Field(
        default=None, description="the answer's header that says so, in place of `owner_field`"
    )
    event_owner_field: str = Field(default="user", min_length=1, description="the same in an event")
    event_number_field: str = Field(default="sequence", min_length=1, description="an event's number, rising by one")

    @field_validator("duration")
    @classmethod
    def _bounded(cls, duration: timedelta) -> timedelta:
        if not SHORTEST_DURATION <= duration <= LONGEST_DURATION:
            raise ValueError(f"a load test lasts from {format_duration(SHORTEST_DURATION)} to 24h")
        return duration

    @field_validator("pace", "max_p95")
    @classmethod
    def _more_than_nothing(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not value:
            raise ValueError("must be longer than nothing")
        return value

    @field_validator("max_error_rate")
    @classmethod
    def _a_share_of_requests(cls, share: float) -> float:
        if not 0.0 <= share <= 1.0:
            raise ValueError("a share of the requests is from 0% to 100%")
        return share

    @field_validator("email_domains")
    @classmethod
    def _not_empty(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        if not named:
            raise ValueError("needs at least one entry")
        return named

    @model_validator(mode="after")
    def _enough_for_every_kind(self) -> Self:
        if self.mixed_traffic and self.concurrent_users < FEWEST_MIXED_USERS:
            raise ValueError(
                f"mixed_traffic has users of {FEWEST_MIXED_USERS} kinds: concurrent_users must be at least "
                f"{FEWEST_MIXED_USERS}, not {self.concurrent_users}"
            )
        return self


def http_address(url: str) -> str:
    """An address that can be asked, without a slash at its end.

    Raises:
        ValueError: it is none; the text says what is allowed.
    """
    parts = urlsplit(url)
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username or any(sign.isspace() for sign in url):
        raise ValueError("must be an address such as https://backend.example.com, without query or password")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(http_address)]


class LoadTest(LoadProfile):
    """A load test as it is run. Users are spread over the addresses, one address each."""

    urls: tuple[Address, ...] = Field(min_length=1, max_length=20, description="base addresses")


class RequestFigures(BaseModel):
    """Requests of one kind. Times are milliseconds; None before the first answer."""

    model_config = ConfigDict(frozen=True)

    name: str
    requests: int
    failures: int
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


class Breach(BaseModel):
    """A user who was served another's data, how often, and whose the first time."""

    model_config = ConfigDict(frozen=True)

    user: str
    url: str
    times: int
    data_of: str


class LoadReport(BaseModel):
    """What was met so far. `breaches` and `errors` hold the most frequent ones; the counts hold all of them."""

    model_config = ConfigDict(frozen=True)

    final: bool
    elapsed_seconds: float
    users: int
    kinds: tuple[RequestFigures, ...]
    errors: dict[str, int]
    checked: int
    unsaid: int
    violations: int
    users_breached: int
    breaches: tuple[Breach, ...]
    events: int
    events_lost: int
    busiest_cpu_percent: float

    @property
    def requests(self) -> int:
        return sum(kind.requests for kind in self.kinds)

    @property
    def failures(self) -> int:
        return sum(kind.failures for kind in self.kinds)

    @property
    def error_rate(self) -> float:
        return self.failures / self.requests if self.requests else 0.0

    def throughput(self, kind: RequestFigures | None = None) -> float:
        """Per second, of one kind or of all."""
        count = self.requests if kind is None else kind.requests
        return count / self.elapsed_seconds if self.elapsed_seconds else 0.0


def broken_limits(test: LoadProfile, report: LoadReport) -> list[str]:
    """A sentence for each limit that is broken; none means that the load test passed."""
    return [
        *_of_requests(test, report),
        *(_of_isolation(report) if test.monitor_isolation else ()),
        *(_of_events(test, report) if test.mixed_traffic else ()),
    ]


def _of_requests(test: LoadProfile, report: LoadReport) -> list[str]:
    broken = [f"{kind.name}: nothing was answered" for kind in report.kinds if not kind.requests]
    if report.error_rate > test.max_error_rate:
        worst = ", ".join(f"{text} ({count})" for text, count in list(report.errors.items())[:3])
        broken.append(
            f"errors: {report.failures} of {report.requests} failed ({report.error_rate:.2%}), "
            f"at most {format_share(test.max_error_rate)} may: {worst}"
        )
    asked = report.kinds[0]
    if test.max_p95 is not None and asked.p95_ms is not None:
        limit_ms = test.max_p95 / timedelta(milliseconds=1)
        if asked.p95_ms > limit_ms:
            broken.append(f"p95: {asked.name} took {asked.p95_ms} ms, at most {limit_ms:g} ms are allowed")
    return broken


def _of_isolation(report: LoadReport) -> list[str]:
    broken = []
    if report.violations:
        named = ", ".join(f"{b.user} ({b.times}, first {b.data_of}'s)" for b in report.breaches[:USERS_NAMED])
        further = report.users_breached - min(USERS_NAMED, len(report.breaches))
        more = f" and {further} more" if further else ""
        broken.append(
            f"isolation: {counted(report.users_breached, 'user was', 'users were')} served another user's data, "
            f"{counted(report.violations, 'time')}: {named}{more}"
        )
    if report.unsaid:
        broken.append(f"isolation: {counted(report.unsaid, 'answer')} did not say whose data was carried")
    elif not report.checked:
        broken.append("isolation: no answer could be checked")
    return broken


def _of_events(test: LoadProfile, report: LoadReport) -> list[str]:
    if not report.events:
        return ["events: nobody received any"]
    if report.events_lost > test.max_lost_events:
        return [
            f"events: {report.events_lost} lost beside {report.events} received, at most {test.max_lost_events} may be"
        ]
    return []


def in_a_line(test: LoadProfile, report: LoadReport) -> str:
    """Where it stands, for a log or a heartbeat."""
    asked = report.kinds[0]
    parts = [
        f"{report.elapsed_seconds:.0f}s of {format_duration(test.duration)}",
        counted(report.users, "user"),
        f"{report.throughput():.1f} requests/s",
        f"{report.error_rate:.2%} errors",
        f"p95 {milliseconds(asked.p95_ms)}",
    ]
    if test.monitor_isolation:
        parts.append(counted(report.violations, "isolation violation"))
    if test.mixed_traffic:
        parts.append(f"{counted(report.events, 'event')}, {report.events_lost} lost")
    return ", ".join(parts)


def milliseconds(value: int | None) -> str:
    return "–" if value is None else f"{value} ms"
