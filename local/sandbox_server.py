"""The sandbox as a child process: Google's APIs on loopback, driven by its own flags on the command line."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from config.settings import inherited_environment
from local.checkout import CHECKOUT
from local.child_process import ChildProcess
from local.part import Part
from local.ports import LOOPBACK, free_port
from local.sandbox_secrets import ANSWERS_WITHIN_SECONDS, install
from rollout.plan import RolloutPlan
from sandbox.options import InstalledSecret

SAMPLE_APP = f"{shlex.quote(sys.executable)} -m sample_app"
STABLE_IMAGE = "example/{service}:1"


@dataclass(frozen=True)
class SandboxTiming:
    """How fast the sandbox's world goes; seconds and requests per second."""

    sample_seconds: float = 1.0
    ingest_delay_seconds: float = 1.0
    reconcile_seconds: float = 0.3
    requests_per_second: float = 200.0


@dataclass(frozen=True)
class SandboxOptions:
    """`services` are written as the sandbox takes them: PROJECT/REGION/NAME=IMAGE[@ENVIRONMENT:GROUP]."""

    redis_url: str
    services: Sequence[str]
    timing: SandboxTiming = field(default_factory=SandboxTiming)
    etag: str = "ignore"
    inflight: str = "supersede"
    app_command: str | None = None
    """Runs for every revision, with real requests routed to it; without it the traffic is made up."""
    secrets: Sequence[InstalledSecret] = ()


def services_of(plans: Sequence[RolloutPlan]) -> list[str]:
    """Every service of the plans, once. Where two plans share a service, its users follow the first plan's flags."""
    written: dict[str, str] = {}
    for plan in plans:
        group = f"@{plan.environment}:{plan.name}" if plan.flags else ""
        for key, service in plan.services.items():
            name = f"{service.project}/{service.region}/{service.service}"
            written.setdefault(name, f"{name}={STABLE_IMAGE.format(service=key)}{group}")
    return list(written.values())


class SandboxServer(Part):
    """`start` waits for the line in which the sandbox says where it listens. Started again in the same
    directory, it knows all that it ever answered.
    """

    def __init__(self, process: ChildProcess, google_port: int, http_port: int) -> None:
        super().__init__(process)
        self.google_port = google_port
        self.http_port = http_port

    @classmethod
    def start(
        cls, directory: Path, options: SandboxOptions, *, google_port: int | None = None, http_port: int | None = None
    ) -> "SandboxServer":
        """Start on free ports, or on given ones.

        Raises:
            ChildFailed: it ended first.
        """
        directory.mkdir(parents=True, exist_ok=True)
        google, http = google_port or free_port(), http_port or free_port()
        timing = options.timing
        command = [
            *(sys.executable, "-m", "sandbox"),
            *("--grpc", f"{LOOPBACK}:{google}", "--http", f"{LOOPBACK}:{http}", "--redis-url", options.redis_url),
            *("--etag", options.etag, "--inflight", options.inflight),
            *("--sample-seconds", str(timing.sample_seconds)),
            *("--ingest-delay-seconds", str(timing.ingest_delay_seconds)),
            *("--reconcile-seconds", str(timing.reconcile_seconds)),
            *("--requests-per-second", str(timing.requests_per_second)),
            *("--state", directory / "sandbox.db"),
            *(() if options.app_command is None else ("--app-command", options.app_command)),
            *(part for service in options.services for part in ("--service", service)),
        ]
        process = ChildProcess.start(
            "sandbox",
            command,
            log=directory / "sandbox.log",
            ready=_said_where_it_listens,
            environment=inherited_environment({}),
            cwd=CHECKOUT,
        )
        server = cls(process, google, http)
        install(server.url, options.secrets)
        return server

    @property
    def google_endpoint(self) -> str:
        return f"{LOOPBACK}:{self.google_port}"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    def service_urls(self) -> list[str]:
        """Where its services answer their users, in no particular order.

        Raises:
            httpx.HTTPError: it does not answer.
        """
        answer = httpx.get(f"{self.url}/services", timeout=ANSWERS_WITHIN_SECONDS).raise_for_status()
        return [service["uri"] for service in answer.json()]


def _said_where_it_listens(process: ChildProcess) -> bool:
    """Whether this very process, not an earlier one whose words are in the same log, said that it is ready."""
    return any(_ready_line(line) == process.pid for line in process.log_tail().splitlines())


def _ready_line(line: str) -> int | None:
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said.get("pid") if isinstance(said, dict) and "grpc" in said else None
