"""Rollouts whose servers are killed at random moments: do they end as they were told, with nothing lost or told twice?

    python -m chaos --runs 10             ten runs with new seeds
    python -m chaos --runs 1 --seed 42    the run of one seed again

Each run has a whole local stack. Worker, Redis and Temporal are killed (-9) and started again on their data; the
sandbox is frozen instead, because its world lives in memory. Ends with 1 where something did not hold.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from chaos.run import run
from chaos.scenario import drawn

SEEDS = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Rollouts whose servers are killed.")
    parser.add_argument("--runs", type=int, default=10, help="how many, one after the other (10)")
    parser.add_argument("--seed", type=int, help="of the first run; the others count on from it (random)")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error(f"--runs: at least 1, got {given.runs}")
    # That servers do not answer is what these runs are about: the client need not tell it at every try.
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)))
    first = secrets.randbelow(SEEDS) if given.seed is None else given.seed
    began = time.monotonic()
    failed = [seed for seed in range(first, first + given.runs) if not _holds(seed)]
    _say(f"{given.runs - len(failed)} of {given.runs} runs held, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _holds(seed: int) -> bool:
    scenario = drawn(seed)
    _say(f"seed {seed}: {scenario.in_words()}")
    with tempfile.TemporaryDirectory(prefix="rollout-chaos-") as directory:
        outcome = asyncio.run(run(scenario, Path(directory)))
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
