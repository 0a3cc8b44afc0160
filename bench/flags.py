"""Feature flags beside their peers in one run, and how fast a kill switch reaches fifty applications.

    python -m bench.flags           about a minute and a half
    python -m bench.flags --quick   less than a minute

Clients that are not installed are listed as such; `pip install -r bench/flag_peers.txt` brings them. Ends with 1 where
a budget is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from bench.flag_propagation import propagation
from bench.flag_subjects import NOT_INSTALLED, SUBJECTS
from bench.machine import machine

OURS = "ours"
EVALUATIONS_PER_SECOND = 1_000_000
PROPAGATION_P99_SECONDS = 0.1
PROCESSES = 50
SUBJECT_TIMEOUT_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.flags", description="Feature flags beside their peers.")
    parser.add_argument("--quick", action="store_true", help="fewer questions and fewer writes")
    quick = parser.parse_args().quick
    console = Console(width=100)
    console.print(f"Machine: {machine()}")
    kept = [_evaluation(console, 20_000 if quick else 100_000), _propagation(console, 4 if quick else 20)]
    return 0 if all(kept) else 1


def _evaluation(console: Console, questions: int) -> bool:
    measured = {name: _measure(name, questions) for name in SUBJECTS}
    ours = measured[OURS]
    assert ours is not None, "what is measured is this very tree"  # noqa: S101
    table = Table("client", "version", "evaluations/s", "ours is faster by", "treated share", title="10 % of all users")
    for name, answer in measured.items():
        if answer is None:
            table.add_row(name, "not installed")
            continue
        ratio = ours["per_second"] / answer["per_second"]
        times = "" if name == OURS else f"{ratio:.1f} ×"
        share = f"{answer['share'] * 100:.2f} %"
        table.add_row(name, str(answer["version"]), f"{answer['per_second']:,.0f}", times, share)
    console.print(table)
    fastest = max((a["per_second"] for name, a in measured.items() if a and name != OURS), default=0.0)
    kept = ours["per_second"] >= EVALUATIONS_PER_SECOND and ours["per_second"] > fastest
    console.print(f"budget: at least {EVALUATIONS_PER_SECOND:,}/s, and faster than every peer: {_word(kept)}\n")
    return kept


def _measure(name: str, questions: int) -> dict[str, float] | None:
    command = [sys.executable, "-m", "bench.flag_subjects", name, str(questions)]
    with tempfile.TemporaryDirectory(prefix="flag-bench-") as directory:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=SUBJECT_TIMEOUT_SECONDS,
            check=False,
            env=os.environ | {"TMPDIR": directory},
        )
    if done.returncode == NOT_INSTALLED:
        return None
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-500:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _propagation(console: Console, writes: int) -> bool:
    delays = propagation(PROCESSES, writes)
    cut = quantiles(delays, n=100, method="inclusive")
    p50, p99 = cut[49], cut[98]
    console.print(
        f"kill switch to {PROCESSES} processes, {writes} times: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, "
        f"slowest {max(delays) * 1000:.1f} ms"
    )
    kept = p99 <= PROPAGATION_P99_SECONDS
    console.print(f"budget: p99 at most {PROPAGATION_P99_SECONDS * 1000:g} ms: {_word(kept)}")
    return kept


def _word(kept: bool) -> str:
    return "kept" if kept else "MISSED"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
