"""The sandbox as a whole: Google's APIs on one loopback port, its own HTTP surface on another.

async with Sandbox.started(SandboxOptions(services=(...,))) as sandbox:
    channel = grpc.aio.insecure_channel(sandbox.grpc_target)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from uuid import UUID

import grpc.aio

from sandbox import alerting, cloud_monitoring, cloud_run, cloud_run_revisions, operations, secret_manager
from sandbox.alerting import Alerting
from sandbox.behaviours import Behaviour, Behaviours
from sandbox.clock import SandboxClock
from sandbox.cloud_monitoring import CloudMonitoring
from sandbox.cloud_run import CloudRunServices
from sandbox.cloud_run_revisions import CloudRunRevisions
from sandbox.control_plane import ControlPlane
from sandbox.data_plane import DataPlane
from sandbox.faults import FaultTable
from sandbox.flag_watch import FlagWatch
from sandbox.grpc_service import service_handler
from sandbox.history import History
from sandbox.http_server import HttpServer
from sandbox.journal import Journal
from sandbox.kept_services import KeptServices
from sandbox.kept_world import KeptWorld
from sandbox.metric_descriptors import MetricDescriptors
from sandbox.operations import Operations
from sandbox.options import InstalledSecret, InstalledService, SandboxOptions
from sandbox.real_traffic import RealTraffic
from sandbox.reconciler import Reconciler
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord
from sandbox.secret_control import SecretControl
from sandbox.secret_manager import SecretManager
from sandbox.secrets import Secrets
from sandbox.synthetic_load import LoadSettings, SyntheticLoad
from sandbox.written_series import WrittenSeries

_STOP_GRACE_SECONDS = 0.5
_SERVER_OPTIONS = (("grpc.so_reuseport", 0),)  # a port that another process listens on must be refused, not shared
_UUID_BITS = 128


class Sandbox:
    """A running sandbox. `grpc_target` is `HOST:PORT` for Google's clients, `http_url` the control and data plane."""

    grpc_target: str

    def __init__(self, options: SandboxOptions, http_url: str, journal: Journal) -> None:
        self.http_url = http_url
        self.faults = FaultTable()
        self._journal = journal
        self._kept = KeptWorld(journal)
        kept_services = KeptServices(journal)
        self.services = RunServices(kept_services)
        self.services.restore(kept_services.held(), kept_services.held_deleted())
        self._options = options
        self._clock = SandboxClock(options.clock)
        self._behaviours = Behaviours(journal)
        self.secrets = Secrets(self._clock)
        self._secret_control = SecretControl(self.secrets)
        self._flags = FlagWatch(options.redis_url, self._clock, journal) if options.redis_url else None
        self._load = SyntheticLoad(
            LoadSettings(options.sample_period, options.ingest_delay, options.requests_per_second, options.seed),
            self._behaviours,
            journal,
        )
        self._random = Random(self._kept.seed(options.seed))
        self._data_plane = DataPlane(self.services, self._behaviours, self._random)
        self._real: RealTraffic | None = None
        if options.app_command is None:
            self.services.listen(self._load.observe)
        else:
            self._real = RealTraffic(
                command=options.app_command,
                services=self.services,
                data_plane=self._data_plane,
                settings=self._load.settings,
                clock=self._clock,
                redis_url=options.redis_url,
                flag_group_of=self._load.flag_group_of,
                journal=journal,
            )
        new_id = partial(_random_id, self._random)
        self._operations = Operations(new_id, journal)
        self._reconciler = Reconciler(
            services=self.services,
            behaviours=self._behaviours,
            faults=self.faults,
            clock=self._clock,
            seconds=options.reconcile_seconds,
            data_plane_url=lambda: self.services_url,
            start_process=self._start_process,
        )
        self._run = CloudRunServices(
            self.services,
            self._operations,
            self._reconciler,
            self._clock,
            self._random,
            new_id,
            etag=options.etag,
            inflight=options.inflight,
        )

    @classmethod
    @asynccontextmanager
    async def started(cls, options: SandboxOptions) -> "AsyncIterator[Sandbox]":
        """A sandbox that listens, with its services installed; stopped when the context ends."""
        async with AsyncExitStack() as stack:
            journal = Journal(options.state)
            stack.callback(journal.close)
            http = HttpServer(journal.commit)
            await http.bind(*_split(options.http))
            stack.push_async_callback(http.close)
            sandbox = cls(options, http.url, journal)
            stack.push_async_callback(sandbox._close)
            await sandbox._load.restore(sandbox.follow_flags)
            server, sandbox.grpc_target = sandbox._grpc_server()
            await server.start()
            stack.push_async_callback(server.stop, _STOP_GRACE_SECONDS)
            if sandbox._real is not None:
                await sandbox._real.open(sandbox.grpc_target, sandbox._kept.port_of_services())
                stack.push_async_callback(sandbox._real.close)
                # Nothing may start a process any more once those that run are being stopped.
                stack.push_async_callback(sandbox._reconciler.close)
            await sandbox._go_on()
            for service in options.services:
                await sandbox.install(service)
            for secret in options.secrets:
                await sandbox.install_secret(secret)
            await http.serve(sandbox._control_plane().handle)
            yield sandbox

    @property
    def services_url(self) -> str:
        """Where the services answer their users: the router's address, or the control plane's for made-up traffic."""
        return self.http_url if self._real is None else self._real.router.url

    async def _start_process(self, record: ServiceRecord, revision: RevisionRecord) -> bool:
        return self._real is None or await self._real.start(record, revision)

    async def _go_on(self) -> None:
        """Start what ran when the sandbox was killed, and carry on with what was under way."""
        if self._kept.moved_to(self.services_url):
            for record in self.services:
                self._reconciler.readdress(record)
        there = [(record, revision) for record in self.services for revision in record.revisions.values()]
        await asyncio.gather(*(self._start_process(*each) for each in there if each[1].ready))
        for record, revision in there:
            if not revision.settled.is_set():
                self._reconciler.start_again(record, revision)
        for operation in self._operations.under_way():
            self._reconciler.resume(operation)

    async def install(self, wanted: InstalledService) -> ServiceRecord:
        """Put a service in place that has been serving for a while; one that is there keeps everything but its flags.

        Raises:
            ValueError: it has a flag group and the sandbox was started without a Redis.
        """
        since = await self._clock.now() - self._options.past_traffic
        known = self.services.exists(wanted.name)
        if not known or self._load.flag_group_of(wanted.name) != wanted.flag_group:
            treated_share = await self.follow_flags(wanted.flag_group) if wanted.flag_group else None
            self._load.serve(wanted.name, since, wanted.flag_group, treated_share)
        if self.services.exists(wanted.name):
            return self.services.get(wanted.name)
        record = self._run.install(wanted.name, wanted.image, since)
        first = next(iter(record.revisions.values()))
        if not await self._start_process(record, first):
            raise OSError(f"{wanted.name.service}: the command of its revisions did not come to listen")
        return record

    async def install_secret(self, wanted: InstalledSecret) -> None:
        """Put a secret in place, or add a version to it."""
        await self._secret_control.install(wanted)

    async def follow_flags(self, group: str) -> History[float]:
        """The share of users that the flags of `group` (`ENV:GROUP`) treat, over time.

        Raises:
            ValueError: the sandbox was started without a Redis.
        """
        if self._flags is None:
            raise ValueError(f"flag_group: {group!r} needs a sandbox that was started with a Redis URL")
        return await self._flags.follow(group)

    async def set_behaviour(self, image: str, behaviour: Behaviour) -> None:
        """From now on revisions of `image` treat their users so."""
        self._behaviours.set(image, behaviour, await self._clock.now())

    def _control_plane(self) -> ControlPlane:
        return ControlPlane(
            services=self.services,
            behaviours=self._behaviours,
            faults=self.faults,
            data_plane=self._data_plane,
            clock=self._clock,
            install=self.install,
            flag_group_of=self._load.flag_group_of,
            application_faults=None if self._real is None else self._real.faults,
            secrets=self._secret_control,
        )

    def _grpc_server(self) -> tuple[grpc.aio.Server, str]:
        """The server of Google's APIs and the address it is bound to."""
        written = WrittenSeries(self._options.sample_period, self._journal)
        descriptors = MetricDescriptors(self._load.settings, written, self._journal)
        monitoring = CloudMonitoring(
            self._load if self._real is None else self._real.served, written, descriptors, self.faults, self._clock
        )
        revisions = CloudRunRevisions(self.services, self._operations, self._clock)
        alerts = Alerting(self._clock, self._random)
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        methods = {
            cloud_run.SERVICE: self._run.methods(),
            cloud_run_revisions.SERVICE: revisions.methods(),
            operations.SERVICE: self._operations.methods(),
            cloud_monitoring.SERVICE: monitoring.methods(),
            secret_manager.SERVICE: SecretManager(self.secrets).methods(),
            alerting.POLICY_SERVICE: alerts.policy_methods(),
            alerting.CHANNEL_SERVICE: alerts.channel_methods(),
        }
        server.add_generic_rpc_handlers(
            [service_handler(name, offered, self.faults, self._journal.commit) for name, offered in methods.items()]
        )
        host, _ = _split(self._options.grpc)
        try:
            port = server.add_insecure_port(self._options.grpc)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._options.grpc}: {error}") from error
        return server, f"{host}:{port}"

    async def _close(self) -> None:
        await self._reconciler.close()
        if self._flags is not None:
            await self._flags.close()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _random_id(random: Random) -> UUID:
    """An identifier that a sandbox of the same seed gives out again."""
    return UUID(int=random.getrandbits(_UUID_BITS), version=4)
