"""Everything a rollout needs, on this machine: Temporal, Redis, the sandbox and a worker, as child processes.

    with LocalStack(Path(".rollout")) as stack:
        print(stack.environment["TEMPORAL_ADDRESS"], stack.temporal.ui_url)

Each part can be killed or stopped by its handle and started again on its ports; a worker can be left out.
"""

import fcntl
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from local.checkout import CHECKOUT
from local.part import Part
from local.redis_server import RedisServer
from local.sandbox_secrets import secrets_of
from local.sandbox_server import SandboxOptions, SandboxServer, SandboxTiming, services_of
from local.temporal_server import NAMESPACE, TemporalServer
from local.worker_process import WorkerProcess
from rollout.messages import SEARCH_ATTRIBUTES
from sandbox.options import InstalledSecret
from starter.plan_file import load_plan

PLANS = (CHECKOUT / "plans" / "rehearsal.yaml", CHECKOUT / "plans" / "traffic-canary.yaml")
ENVIRONMENT_FILE = "local.env"
LOCK_FILE = "lock"
DATA = ("redis", "temporal", "sandbox", "worker")
"""What a stack keeps, each in a directory of its name."""


class DirectoryInUse(RuntimeError):  # noqa: N818  (named as what is the case)
    """Another local stack runs in the same directory; two would write the same data files."""


class LocalStack:
    """A context manager: parts are started on entering and stopped in reverse order on leaving, whatever happened.

    `plans` say which Cloud Run services the sandbox has, whose flags their users follow, and which secrets there are
    beside `secrets`. `fresh` begins with empty data; otherwise Temporal, Redis and the sandbox know what they knew when
    the stack was stopped.
    """

    def __init__(
        self,
        directory: Path,
        *,
        worker: bool = True,
        fresh: bool = False,
        plans: Sequence[Path] = PLANS,
        timing: SandboxTiming | None = None,
        etag: str = "ignore",
        inflight: str = "supersede",
        app_command: str | None = None,
        secrets: Sequence[InstalledSecret] = (),
        started: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self.worker: WorkerProcess | None = None
        self._with_worker = worker
        self._fresh = fresh
        self._plans = plans
        self._sandbox_of = partial(
            SandboxOptions, timing=timing or SandboxTiming(), etag=etag, inflight=inflight, app_command=app_command
        )
        self._secrets = secrets
        self._started = started
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as leaving:
            leaving.callback(_locked(self.directory / LOCK_FILE))
            if self._fresh:
                for kept in DATA:
                    shutil.rmtree(self.directory / kept, ignore_errors=True)
            plans = [load_plan(path) for path in self._plans]
            self.redis = RedisServer.start(self.directory / "redis")
            leaving.callback(self._stop_redis)
            self._started(f"Redis at {self.redis.url}")
            self.temporal = TemporalServer.start(self.directory / "temporal", search_attributes=SEARCH_ATTRIBUTES)
            leaving.callback(self._stop_temporal)
            self._started(f"Temporal at {self.temporal.address}, its Web UI at {self.temporal.ui_url}")
            self._sandbox_options = self._sandbox_of(
                self.redis.url, services_of(plans), secrets=(*self._secrets, *secrets_of(plans))
            )
            self.sandbox = SandboxServer.start(self.directory / "sandbox", self._sandbox_options)
            leaving.callback(self._stop_sandbox)
            self._started(f"Sandbox at {self.sandbox.url}, its Google APIs at {self.sandbox.google_endpoint}")
            leaving.callback(self._stop_worker)
            if self._with_worker:
                self.start_worker()
            leaving.callback((self.directory / ENVIRONMENT_FILE).unlink, missing_ok=True)
            self._write_environment()
            self._leaving = leaving.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to use this stack, and the processes it is made of."""
        return {
            "TEMPORAL_ADDRESS": self.temporal.address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "TEMPORAL_UI_URL": self.temporal.ui_url,
            "ROLLOUT_REDIS_URL": self.redis.url,
            "ROLLOUT_GOOGLE_ENDPOINT": self.sandbox.google_endpoint,
            "ROLLOUT_SANDBOX_URL": self.sandbox.url,
            **{f"ROLLOUT_{name.upper()}_PID": str(part.pid) for name, part in self.parts().items()},
        }

    @property
    def environment_file(self) -> Path:
        return self.directory / ENVIRONMENT_FILE

    def parts(self) -> dict[str, Part]:
        """Every child process, by what it is."""
        servers: dict[str, Part] = {"temporal": self.temporal, "redis": self.redis, "sandbox": self.sandbox}
        return servers if self.worker is None else {**servers, "worker": self.worker}

    def start_worker(self) -> WorkerProcess:
        """Start the worker, again if there was one; waits until it polls."""
        self._stop_worker()
        self.worker = WorkerProcess.start(self.directory / "worker", self.temporal.frontend, self._addresses())
        self._started(f"Worker as process {self.worker.pid}, its log in {self.worker.log}")
        return self.worker

    def restart_temporal(self) -> None:
        """The same server on the same ports with the data it had."""
        self.temporal.stop()
        self.temporal = TemporalServer.start(
            self.directory / "temporal",
            search_attributes=SEARCH_ATTRIBUTES,
            port=self.temporal.port,
            ui_port=self.temporal.ui_port,
        )

    def restart_redis(self) -> None:
        """The same server on the same port with the data it had."""
        self.redis.stop()
        self.redis = RedisServer.start(self.directory / "redis", port=self.redis.port)

    def restart_sandbox(self) -> None:
        """The same world on the same ports."""
        self.sandbox.stop()
        self.sandbox = SandboxServer.start(
            self.directory / "sandbox",
            self._sandbox_options,
            google_port=self.sandbox.google_port,
            http_port=self.sandbox.http_port,
        )

    # Parts may have been started anew since: what is stopped on leaving is what runs then.

    def _stop_redis(self) -> None:
        self.redis.stop()

    def _stop_temporal(self) -> None:
        self.temporal.stop()

    def _stop_sandbox(self) -> None:
        self.sandbox.stop()

    def _stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def _addresses(self) -> dict[str, str]:
        return {name: value for name, value in self.environment.items() if not name.endswith("_PID")}

    def _write_environment(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        # Whole at once: as soon as it is there, other terminals source it.
        beside = self.environment_file.with_suffix(".beginning")
        beside.write_text("\n".join(["# Written by `rollout local`; gone when it stops.", *lines, ""]))
        beside.replace(self.environment_file)


def _locked(path: Path) -> Callable[[], None]:
    """Hold a directory for this process; returns what gives it back.

    Raises:
        DirectoryInUse: another process holds it.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise DirectoryInUse(
            f"{path.parent} is in use by process {holder}: stop that one, or choose another directory with --dir"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file.close
