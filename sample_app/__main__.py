"""`python -m sample_app`: serves on loopback at `$PORT` until SIGTERM, then finishes what it has begun and ends."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import uvicorn

from sample_app.application import Application
from sample_app.configuration import Configuration
from sample_app.feature_flags import FeatureFlags
from sample_app.reporting import Reporter

_HOST = "127.0.0.1"
_DRAIN_SECONDS = 10
_IDLE_CONNECTION_SECONDS = 60
"""Longer than a busy machine keeps whoever sends the requests from noticing that a connection was closed."""
_USAGE_ERROR = 2


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        configuration = Configuration.read(os.environ)
    except ValueError as error:
        sys.stderr.write(f"sample_app: error: {error}\n")
        return _USAGE_ERROR
    asyncio.run(_serve(configuration))
    return 0


class _Server(uvicorn.Server):
    """Ends with code 0 when told to: uvicorn's own handlers end the process by the signal once more afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def _serve(configuration: Configuration) -> None:
    flags = FeatureFlags(configuration)
    application = Application(configuration, flags, Random())  # noqa: S311  (chances of faults)
    server = _Server(
        uvicorn.Config(
            application,
            host=_HOST,
            port=configuration.port,
            lifespan="off",
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            timeout_keep_alive=_IDLE_CONNECTION_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )
    reporting = asyncio.create_task(_report(configuration, application))
    try:
        await server.serve()
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        flags.close()


async def _report(configuration: Configuration, application: Application) -> None:
    if configuration.monitoring_endpoint is not None:
        await Reporter(configuration, application.measurements).run(configuration.monitoring_endpoint)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # As in the sandbox: grpc's threads may abort the process while the interpreter takes them down.
    os._exit(code)
