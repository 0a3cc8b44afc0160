"""Rollouts whose servers are killed at random moments: do they end as they were told, with nothing lost or told twice?

    python -m chaos --runs 10             ten runs with new seeds
    python -m chaos --runs 1 --seed 42    the run of one seed again
    python -m chaos --at-once 3           three beside each other: most of a run is waiting for servers

Each run has a whole local stack. Worker, Redis, Temporal and the sandbox that stands in for Google are killed (-9) and
started again on their data. Ends with 1 where something did not hold.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from chaos.run import run
from chaos.scenario import drawn

SEEDS = 1_000_000
THREADS_PER_RUN = 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Rollouts whose servers are killed.")
    parser.add_argument("--runs", type=int, default=10, help="how many (10)")
    parser.add_argument("--seed", type=int, help="of the first run; the others count on from it (random)")
    parser.add_argument("--at-once", type=int, default=1, help="how many beside each other, each on its own stack (1)")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error(f"--runs: at least 1, got {given.runs}")
    if given.at_once < 1:
        parser.error(f"--at-once: at least 1, got {given.at_once}")
    # That servers do not answer is what these runs are about: the client need not tell it at every try.
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)))
    first = secrets.randbelow(SEEDS) if given.seed is None else given.seed
    began = time.monotonic()
    held = asyncio.run(_how_many_hold(range(first, first + given.runs), given.at_once))
    _say(f"{held} of {given.runs} runs held, {time.monotonic() - began:.0f} s")
    return 0 if held == given.runs else 1


async def _how_many_hold(seeds: Iterable[int], at_once: int) -> int:
    # Each run waits for servers of its own in threads.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(at_once * THREADS_PER_RUN))
    places = asyncio.Semaphore(at_once)

    async def holds(seed: int) -> bool:
        async with places:
            return await _holds(seed)

    return sum(await asyncio.gather(*(holds(seed) for seed in seeds)))


async def _holds(seed: int) -> bool:
    scenario = drawn(seed)
    _say(f"seed {seed}: {scenario.in_words()}")
    with tempfile.TemporaryDirectory(prefix="rollout-chaos-") as directory:
        outcome = await run(scenario, Path(directory))
    _say(f"seed {seed}: {outcome.ended_as} after {outcome.seconds:.1f} s")
    for problem in outcome.problems:
        _say(f"  WRONG: {problem}")
    if outcome.problems:
        _say(f"  again: python -m chaos --runs 1 --seed {seed}")
    return not outcome.problems


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
