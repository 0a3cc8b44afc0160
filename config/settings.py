"""What the product takes from the environment, and the only place that reads it.

Temporal's own variables (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, TLS, profiles) are read by
the SDK, in `config/temporal.py`. A misspelt variable is an error: a `ROLLOUT_GOOGLE_ENDPONT` that nobody noticed
would send a rehearsal to the real Google.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

PREFIX = "ROLLOUT_"
LARGEST_PORT = 65_535
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
REDIS_NUMBERS = ("db", "protocol")
REDIS_OPTIONS = (
    *("client_name", "username", "password", "sentinel_username", "sentinel_password"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"),
)
"""What may follow `?` in the address of the flag store. How long an answer may take is not asked here."""
# Written by `rollout local` for people and scripts; nothing of the product reads them.
PROCESS_VARIABLES = ("ROLLOUT_REDIS_PID", "ROLLOUT_SANDBOX_PID", "ROLLOUT_TEMPORAL_PID", "ROLLOUT_WORKER_PID")


class SettingsError(ValueError):
    """A variable is missing, misspelt or wrong. The text names it and says what is allowed; no secret is in it."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str | None:
    """The host of a host:port; None where it is none that can be connected to."""
    written = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):([0-9]{1,5})", address)
    if written is None or not 0 < int(written[3]) <= LARGEST_PORT:
        return None
    return written[1] or written[2]


def _loopback_endpoint(value: str) -> str:
    host = host_of(value)
    if host is None:
        raise ValueError("expected host:port, for example 127.0.0.1:9010")
    if not is_loopback(host):
        raise ValueError(
            "the endpoint is spoken to without TLS, so it must be on this machine (127.0.0.1, ::1, localhost); "
            "leave the variable out to use Google itself"
        )
    return value


def _redis_url(value: str) -> str:
    if not _is_redis_url(value):
        raise ValueError(
            "expected an address such as redis://127.0.0.1:6379/0, rediss://…, unix:///path, "
            "redis+sentinel://host:port,host:port/service/0 or redis+cluster://host:port,host:port"
        )
    for name, given in parse_qsl(urlsplit(value).query, keep_blank_values=True):
        # What stands there may be a secret that slipped: it is not repeated.
        if name not in (*REDIS_OPTIONS, *REDIS_NUMBERS) or (name in REDIS_NUMBERS and not given.isdecimal()):
            allowed = ", ".join(sorted((*REDIS_OPTIONS, *(f"{number}=NUMBER" for number in REDIS_NUMBERS))))
            raise ValueError(f"expected options after ? to be among {allowed}")
    return value


def _is_redis_url(value: str) -> bool:
    """Whether a client can be made of it: a port or database that is no number would only be noticed in its use."""
    try:
        parts = urlsplit(value)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        named = all(host.hostname and host.port != 0 for host in hosts)
    except ValueError:
        return False
    _, _, kind = parts.scheme.partition("+")
    path = re.fullmatch(r"/[^/]+(/\d*)?" if kind == "sentinel" else r"(/\d*)?", parts.path)
    one_or_kind = len(hosts) == 1 or bool(kind)
    return parts.scheme == "unix" or (parts.scheme in REDIS_SCHEMES and named and one_or_kind and path is not None)


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as http://127.0.0.1:8080")
    return value.rstrip("/")


class Settings(BaseModel):
    """The environment, validated. What a program needs and did not get is said by `needed_…`, at the moment of need."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(
        default=None, alias="ROLLOUT_REDIS_URL", repr=False, description="the flag store; may hold a password"
    )
    google_endpoint: Annotated[str, AfterValidator(_loopback_endpoint)] | None = Field(
        default=None, alias="ROLLOUT_GOOGLE_ENDPOINT", description="host:port of a sandbox; without it, Google itself"
    )
    sandbox_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, alias="ROLLOUT_SANDBOX_URL", description="where the sandbox is controlled"
    )
    temporal_ui_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, alias="TEMPORAL_UI_URL", description="the Web UI of Temporal, for links that people follow"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the process's environment, or the one given.

        Raises:
            SettingsError: naming every variable that is unknown or wrong.
        """
        given = os.environ if environment is None else environment
        known = {str(field.alias) for field in cls.model_fields.values()}
        problems = [
            _unknown(name, known)
            for name in sorted(given)
            if name.startswith(PREFIX) and name not in known and name not in PROCESS_VARIABLES
        ]
        try:
            settings = cls.model_validate({name: given[name] for name in known if given.get(name)})
        except ValidationError as refused:
            # The value may hold a password: the text names the variable and what is allowed, never what it held.
            problems.extend(f"{error['loc'][0]}: {error['ctx']['error']}" for error in refused.errors())
            raise SettingsError("\n".join(problems)) from None
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    @property
    def needed_redis_url(self) -> str:
        """The flag store's address.

        Raises:
            SettingsError: it is not set.
        """
        if self.redis_url is None:
            raise SettingsError(
                "ROLLOUT_REDIS_URL is not set: the address of the flag store, for example redis://127.0.0.1:6379/0. "
                "`rollout local` starts one and writes its address to .rollout/local.env"
            )
        return self.redis_url

    @property
    def redis_address(self) -> str:
        """The flag store's address without user and password, for people."""
        parts = urlsplit(self.needed_redis_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    @property
    def on_a_sandbox(self) -> bool:
        return self.google_endpoint is not None


def inherited_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """What a child process of ours gets: this process's environment, with the product's variables only as given."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "TEMPORAL_"))}
    return {**foreign, **overrides}


def _unknown(name: str, known: set[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"{name}: not a variable of this product{meant} Known are: {', '.join(sorted(known))}"
