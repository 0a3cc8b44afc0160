"""The worker process: `python -m worker`, or `rollout worker`. Runs until told to stop, then finishes in order."""

import asyncio
import logging
import signal
import sys

from config.garbage_collection import keep_for_good
from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE
from worker.wiring import outside_world, workers

BAD_INPUT = 2
FAILED = 1

logger = logging.getLogger("worker")


async def run() -> None:
    """Serve both task queues until SIGTERM or SIGINT.

    Raises:
        SettingsError: the environment does not say where to connect, or says it wrongly.
        TemporalUnreachable: no Temporal server answers.
    """
    stop = asyncio.Event()
    for told in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(told, stop.set)
    settings = Settings.from_environment()
    client = await connect()
    async with outside_world(settings) as world:
        normal, emergency = workers(client, world)
        async with emergency, normal:
            keep_for_good()
            logger.info("serving %s and %s in namespace %s", TASK_QUEUE, EMERGENCY_TASK_QUEUE, client.namespace)
            await stop.wait()
            logger.info("told to stop; finishing what is under way")


def main() -> int:
    """Run the worker; 0 after an orderly stop, 2 for a wrong environment, 1 when Temporal cannot be reached."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Every look of a watch ends in a benign failure; the SDK's line about each of them would bury the notices.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    # So would a line for each answer of each endpoint that is looked at; what is wrong with one is a gate's reason.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        asyncio.run(run())
    except SettingsError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return BAD_INPUT
    except TemporalUnreachable as unreachable:
        sys.stderr.write(f"{unreachable}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
