"""The parts a plan is made of. Rules that concern one field stand at the field."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rollout.exposure import StageExposure, parse_stage_exposure
from rollout.load_test import Address, LoadProfile
from rollout.quantity import Duration, Share

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"
FLAG_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
SECRET_PATTERN = r"^[A-Za-z0-9_-]{1,255}$"  # noqa: S105  (a form of names)
SECRET_VERSION_PATTERN = r"^(latest|[1-9][0-9]{0,9})$"  # noqa: S105  (a form of names)
CHANNELS = ("log",)

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
FlagName = Annotated[str, Field(pattern=FLAG_PATTERN)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Service(Part):
    """A Cloud Run service. `image` may be given at the start instead (`--image backend=…`)."""

    project: str = Field(min_length=6, max_length=30, description="the Google Cloud project")
    region: str = Field(min_length=1, description="such as us-central1")
    service: str = Field(pattern=r"^[a-z][a-z0-9-]{0,47}[a-z0-9]$", description="the name in Cloud Run")
    image: str | None = Field(default=None, description="what to roll out, if it is not given at the start")


class AudienceSpec(Part):
    """People by exact e-mail domain or user id; they keep the features at every exposure above off."""

    email_domains: tuple[str, ...] = Field(default=(), description="plain lower-case domains such as example.com")
    user_ids: tuple[str, ...] = Field(default=(), description="user ids as the application knows them")

    @field_validator("email_domains")
    @classmethod
    def _plain_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if "@" in domain or "." not in domain or domain != domain.lower():
                raise ValueError(f"{domain!r} is not a plain lower-case domain such as example.com")
        return domains


class HttpCheck(Part):
    """A GET on a service's candidate, at the address of its tag, that must answer 200.

    Among the `before` checks of the stage that deploys it runs right after the deployment, before any traffic.
    """

    kind: Literal["http"]
    service: str = Field(description="a service of the plan")
    path: str = Field(pattern=r"^/", description="such as /health")


class RedisCheck(Part):
    """The flag store answers a read of this plan's group."""

    kind: Literal["redis"]


class MonitoringCheck(Part):
    """A metric of the plan has had data within the baseline window."""

    kind: Literal["monitoring"]
    metric: str = Field(description="a metric of the plan")


class SecretCheck(Part):
    """A secret in Secret Manager has a version that applications can read. Its value is never looked at.

    `latest` means the newest version, also where that one is disabled and an older one is not.
    """

    kind: Literal["secret"]
    project: str = Field(min_length=6, max_length=30, description="the Google Cloud project that holds the secret")
    name: str = Field(pattern=SECRET_PATTERN, description="the secret's name in Secret Manager")
    version: str = Field(default="latest", pattern=SECRET_VERSION_PATTERN, description="which version must be enabled")

    @property
    def version_name(self) -> str:
        """The version's full name in Secret Manager."""
        return f"projects/{self.project}/secrets/{self.name}/versions/{self.version}"


class AttestCheck(Part):
    """A statement that the person who approves the stage confirms."""

    kind: Literal["attest"]
    statement: str = Field(min_length=1, description="a sentence that is true before the stage may begin")


class LoadTestCheck(LoadProfile):
    """Simulated users ask the candidate, or an address of your own, and every limit must be kept.

    The candidate is reached at the address of its tag, as by `http`; in the stage that deploys it runs right after the
    deployment. Gates of the stage entered last go on being judged meanwhile. See [Load tests](load-test.md).
    """

    kind: Literal["load_test"]
    service: str | None = Field(default=None, description="a service of the plan; or `url`")
    url: Address | None = Field(default=None, description="a base address; or `service`")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.service is None) == (self.url is None):
            raise ValueError("a load test names either a `service` of the plan or a `url`")
        return self


Check = Annotated[
    HttpCheck | RedisCheck | MonitoringCheck | SecretCheck | AttestCheck | LoadTestCheck, Field(discriminator="kind")
]


class Checks(Part):
    """What must hold before a stage changes anything, and after its soak before the next stage begins."""

    before: tuple[Check, ...] = Field(default=(), description="before the stage changes anything")
    after: tuple[Check, ...] = Field(default=(), description="after its soak")

    def placed(self) -> Iterator[tuple[tuple[str, str, int], Check]]:
        """Each with the place in its stage."""
        for when, checks in (("before", self.before), ("after", self.after)):
            for position, check in enumerate(checks):
                yield ("checks", when, position), check


class Accelerate(Part):
    """The stage may end before its soak is over, once every comparison with control or baseline passes beyond doubt.

    Never before `minimum_soak` of credit, whatever the evidence: early data cannot show what only the daily peak does.
    """

    minimum_soak: Duration = Field(description="the credit that the stage needs in any case; less than its soak")


class Stage(Part):
    """One step of a plan.

    `traffic` is walked from left to right inside the stage, each step held for `traffic_hold` of the soak; the last
    one for the rest. Without it the split stays as the stage before left it.
    """

    name: Name = Field(description="unique in the plan")
    deploy: bool = Field(default=False, description="deploy the candidate at 0 %; the first stage does, and only it")
    traffic: tuple[Share, ...] = Field(default=(), description="the candidate's share of the traffic, step by step")
    traffic_hold: Duration | None = Field(default=None, description="how long each share above 0% but the last is held")
    exposure: StageExposure = Field(description="who sees the features: for all flags at once, or flag by flag")
    soak: Duration = Field(description="the time that must be covered by fresh data with every gate passing")
    accelerate: Accelerate | None = Field(default=None, description="lets conclusive evidence end the soak early")
    gates: tuple[str, ...] = Field(min_length=1, description="names of gates of the plan")
    checks: Checks = Field(default=Checks(), description="what must hold before and after")
    approval: bool = Field(
        default=False, description="wait for `rollout approve`; statements to confirm ask for it too"
    )

    @field_validator("exposure", mode="before")
    @classmethod
    def _exposure_as_written(cls, written: object) -> object:
        return parse_stage_exposure(written)

    @field_validator("traffic")
    @classmethod
    def _whole_rising_percents(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        for share in shares:
            if not 0 <= share <= 1 or not round(share * 100, 6).is_integer():
                raise ValueError("Cloud Run splits traffic by whole percents from 0% to 100%")
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError("traffic rises from step to step")
        return shares

    @property
    def percents(self) -> tuple[int, ...]:
        return tuple(round(share * 100) for share in self.traffic)

    @property
    def steps(self) -> tuple[int | None, ...]:
        """The shares above 0 that traffic rises to, one after the other; a single None where it stays as it is."""
        return tuple(percent for percent in self.percents if percent > 0) or (None,)

    @property
    def needs_approval(self) -> bool:
        return self.approval or bool(self.statements)

    @property
    def statements(self) -> tuple[str, ...]:
        """What the approver of this stage confirms."""
        return tuple(check.statement for check in self.checks.before if isinstance(check, AttestCheck))


class Deadman(Part):
    """What happens when the gates are no longer looked at: workers dead, stuck, or cut off from what they need."""

    page_after: Duration = Field(description="without a look that ended; again after each further such time")
    flags_off_after: Duration | None = Field(
        default=None,
        description="how long applications keep features on without the rollout's sign of life; for ever without it",
    )


class Baseline(Part):
    """How much of the past stands for "before": measured once, before the first change."""

    window: Duration = Field(description="such as 24h, ending when the rollout starts")


class Notifications(Part):
    """Where notices go: every channel gets every notice."""

    channels: tuple[str, ...] = Field(min_length=1, description=f"any of: {', '.join(CHANNELS)}")

    @field_validator("channels")
    @classmethod
    def _known(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        for channel in channels:
            if channel not in CHANNELS:
                raise ValueError(f"{channel!r} is not a channel; known are: {', '.join(CHANNELS)}")
        return channels
