"""The mode in which revisions are processes: their table, the router before them, and the metrics of what happened."""

import asyncio
from collections.abc import Callable
from secrets import token_urlsafe

from sandbox.application_faults import ApplicationFaults
from sandbox.clock import SECOND, SandboxClock
from sandbox.container_usage import ContainerUsage
from sandbox.data_plane import DataPlane
from sandbox.journal import Journal
from sandbox.resource_names import ServiceName
from sandbox.revision_processes import RevisionProcesses
from sandbox.router import Router
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord
from sandbox.served_traffic import ServedTraffic
from sandbox.synthetic_load import LoadSettings

_START_SECONDS = 240.0
"""As long as Cloud Run's default startup probe waits."""


class RealTraffic:
    """Open it, then start revisions; close it at the end. `router.url` is where the services answer."""

    def __init__(
        self,
        *,
        command: str,
        services: RunServices,
        data_plane: DataPlane,
        settings: LoadSettings,
        clock: SandboxClock,
        redis_url: str | None,
        flag_group_of: Callable[[ServiceName], str | None],
        journal: Journal,
    ) -> None:
        self._redis_url = redis_url
        self._flag_group_of = flag_group_of
        self._token = token_urlsafe()
        self._google_endpoint = ""
        self._processes = RevisionProcesses(command, _START_SECONDS)
        self.served = ServedTraffic(settings, journal)
        self.faults = ApplicationFaults(self._processes, self._token)
        self.router = Router(data_plane, self._processes, self.served, clock)
        self._usage = ContainerUsage(self._processes, self.served, clock)
        services.listen(self._processes.observe)
        services.listen(self.router.observe)

    async def open(self, google_endpoint: str, wanted_port: int) -> None:
        """Listen; applications are told that Google's APIs are at `google_endpoint` (HOST:PORT)."""
        self._google_endpoint = google_endpoint
        await self.router.open(wanted_port)
        self._watching = asyncio.create_task(self._usage.run())

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._processes.close()
        await self.router.close()

    async def start(self, record: ServiceRecord, revision: RevisionRecord) -> bool:
        """Start a revision's process; whether it came to listen. It has its image's faults from the beginning."""
        started = await self._processes.start(record, revision, self._variables(record.name))
        if started is None:
            return False
        await self.faults.tell_started(started)
        return True

    def _variables(self, service: ServiceName) -> dict[str, str]:
        """What the applications find in their environment beside Cloud Run's own variables."""
        group = self._flag_group_of(service)
        variables = {
            "SAMPLE_APP_FAULTS_TOKEN": self._token,
            "SAMPLE_APP_MONITORING_ENDPOINT": self._google_endpoint,
            "SAMPLE_APP_REPORT_SECONDS": f"{self.served.settings.sample_period / SECOND:g}",
        }
        if group is not None and self._redis_url is not None:
            variables |= {"SAMPLE_APP_REDIS_URL": self._redis_url, "SAMPLE_APP_FLAG_GROUP": group}
        return variables
