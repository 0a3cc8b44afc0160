"""How a sandbox is set up, in process and on the command line."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from sandbox.clock import SECOND, Clock, utc_clock
from sandbox.cloud_run import EtagProfile, InflightProfile
from sandbox.resource_names import ServiceName
from sandbox.secrets import LARGEST_VALUE_BYTES, NAME_PATTERN

LOOPBACK = ("127.0.0.1", "localhost")
_ADDRESS = re.compile(r"(?P<host>[^:]+):(?P<port>\d{1,5})")
_SERVICE = re.compile(
    r"(?P<project>[^/=@]+)/(?P<region>[^/=@]+)/(?P<service>[^/=@]+)=(?P<image>.+?)"
    r"(?:@(?P<flag_group>[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+))?"
)
_SECRET = re.compile(r"(?P<project>[^/=]+)/(?P<name>[^/=]+)=(?P<value>.+)", re.DOTALL)
_DIGEST_ALGORITHMS = ("sha256", "sha512")
_LARGEST_PORT = 65_535


class InstalledService(BaseModel):
    """A service that is there, ready and serving, when the sandbox starts. `flag_group` is `ENV:GROUP`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(pattern=r"^[^/]+$")
    region: str = Field(pattern=r"^[^/]+$")
    service: str = Field(pattern=r"^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$")
    image: str = Field(min_length=1)
    flag_group: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+$")

    @property
    def name(self) -> ServiceName:
        return ServiceName(self.project, self.region, self.service)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PROJECT/REGION/NAME=IMAGE[@ENV:GROUP]`; an image's own `@sha256:…` stays part of the image.

        Raises:
            ValueError: the text has another form.
        """
        match = _SERVICE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not PROJECT/REGION/NAME=IMAGE or PROJECT/REGION/NAME=IMAGE@ENV:GROUP")
        parts = match.groupdict()
        group = parts["flag_group"]
        if group and group.partition(":")[0] in _DIGEST_ALGORITHMS:
            parts |= {"image": f"{parts['image']}@{group}", "flag_group": None}
        return cls(**parts)


class InstalledSecret(BaseModel):
    """A secret with an enabled version. Its value is shown by nothing but AccessSecretVersion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(pattern=r"^[^/]+$")
    name: str = Field(pattern=f"^{NAME_PATTERN}$")
    value: SecretStr = Field(min_length=1)

    @field_validator("value")
    @classmethod
    def _fits(cls, value: SecretStr) -> SecretStr:
        try:
            size = len(value.get_secret_value().encode())
        except UnicodeEncodeError:
            raise ValueError("must be text that UTF-8 can hold") from None
        if size > LARGEST_VALUE_BYTES:
            raise ValueError(f"must hold at most {LARGEST_VALUE_BYTES} bytes, not {size}")
        return value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PROJECT/NAME=VALUE`.

        Raises:
            ValueError: the text has another form; it does not say which, for a value may be in it.
        """
        match = _SECRET.fullmatch(text)
        if match is None:
            raise ValueError("what was given is not PROJECT/NAME=VALUE")
        return cls(**match.groupdict())


Address = Annotated[str, Field(description="HOST:PORT on loopback; port 0 takes a free one")]


class SandboxOptions(BaseModel):
    """Everything a sandbox is started with. `clock` tells the time of its resources and metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    grpc: Address = "127.0.0.1:0"
    http: Address = "127.0.0.1:0"
    redis_url: str | None = None
    services: tuple[InstalledService, ...] = ()
    secrets: tuple[InstalledSecret, ...] = ()
    etag: EtagProfile = "ignore"
    inflight: InflightProfile = "supersede"
    reconcile_seconds: float = Field(default=0.3, ge=0.0)
    sample_seconds: float = Field(default=60.0, ge=0.1)
    ingest_delay_seconds: float = Field(default=120.0, ge=0.0)
    past_traffic_seconds: float = Field(default=3600.0, ge=0.0, description="how long installed services served before")
    requests_per_second: float = Field(default=200.0, ge=0.0)
    seed: int = 0
    app_command: str | None = Field(default=None, min_length=1, description="what a revision's process runs")
    state: Path | None = Field(default=None, description="the file that outlives the sandbox")
    clock: Clock = utc_clock

    @field_validator("grpc", "http")
    @classmethod
    def _on_loopback(cls, address: str) -> str:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match["port"]) > _LARGEST_PORT:
            raise ValueError(f"{address!r} is not HOST:PORT with a port of 0 to {_LARGEST_PORT}")
        if match["host"] not in LOOPBACK:
            raise ValueError(f"{address!r} is not on loopback; the sandbox listens on {' or '.join(LOOPBACK)} only")
        return address

    @model_validator(mode="after")
    def _flags_need_redis(self) -> Self:
        if self.redis_url is None and any(each.flag_group for each in self.services):
            raise ValueError("redis_url: a service with a flag group needs the Redis that holds the group's flags")
        return self

    @property
    def sample_period(self) -> int:
        return round(self.sample_seconds * SECOND)

    @property
    def ingest_delay(self) -> int:
        return round(self.ingest_delay_seconds * SECOND)

    @property
    def past_traffic(self) -> int:
        return round(self.past_traffic_seconds * SECOND)
