"""What the application is told by its environment: Cloud Run's own variables, and where flags and metrics live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_LARGEST_PORT = 65_535


@dataclass(frozen=True)
class Configuration:
    """`flag_group` is `ENVIRONMENT:GROUP`; without it, or without a Redis, every user keeps the legacy path.

    Without `monitoring_endpoint` (HOST:PORT, plaintext) nothing is reported. Without `faults_token` no fault can be
    switched: nobody reaches the faults of an application that was not started for it.
    """

    port: int
    service: str = "sample"
    revision: str = "sample-00001"
    project: str = "sample"
    region: str = "us-central1"
    redis_url: str | None = None
    flag_group: str | None = None
    faults_token: str | None = None
    monitoring_endpoint: str | None = None
    report_seconds: float = 60.0
    cohort_steps: tuple[float, ...] = (10, 50)
    """The percentages that a rollout stops at: by them requests are labelled, exposed or not."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read `PORT`, `K_SERVICE`, `K_REVISION`, `GOOGLE_CLOUD_*` and `SAMPLE_APP_*`.

        Raises:
            ValueError: naming the variable, its value and what is allowed.
        """
        group = environment.get("SAMPLE_APP_FLAG_GROUP")
        if group is not None and not all(group.partition(":")):
            raise ValueError(f"SAMPLE_APP_FLAG_GROUP: {group!r} is not ENVIRONMENT:GROUP")
        return cls(
            port=_port(environment.get("PORT", "8080")),
            service=environment.get("K_SERVICE", cls.service),
            revision=environment.get("K_REVISION", cls.revision),
            project=environment.get("GOOGLE_CLOUD_PROJECT", cls.project),
            region=environment.get("GOOGLE_CLOUD_REGION", cls.region),
            redis_url=environment.get("SAMPLE_APP_REDIS_URL"),
            flag_group=group,
            faults_token=environment.get("SAMPLE_APP_FAULTS_TOKEN"),
            monitoring_endpoint=environment.get("SAMPLE_APP_MONITORING_ENDPOINT"),
            report_seconds=_seconds(environment.get("SAMPLE_APP_REPORT_SECONDS", "60")),
            cohort_steps=_steps(environment.get("SAMPLE_APP_COHORT_STEPS", "10,50")),
        )


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LARGEST_PORT:
        raise ValueError(f"PORT: {text!r} is not a number from 1 to {_LARGEST_PORT}")
    return int(text)


def _steps(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError as error:
        raise ValueError(f"SAMPLE_APP_COHORT_STEPS: {text!r} is no list of percentages such as 10,50") from error
    if any(not 0 < step < 100 for step in steps) or list(steps) != sorted(set(steps)):  # noqa: PLR2004  (percent)
        raise ValueError(f"SAMPLE_APP_COHORT_STEPS: {text!r} does not ascend, each above 0 and below 100")
    return steps


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise ValueError(f"SAMPLE_APP_REPORT_SECONDS: {text!r} is not a number of seconds") from error
    if not 0.0 < seconds < float("inf"):
        raise ValueError(f"SAMPLE_APP_REPORT_SECONDS: {text!r} is not more than 0")
    return seconds
