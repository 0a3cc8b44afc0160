"""Recorded intervals through the judge; whatever is wrong is said with its file and line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rollout.judge_stream import judge_stream
from rollout.sequential_model import SequentialJudgement
from starter.outcome import refused


def replayed(gate: Path, intervals: Path) -> Iterator[SequentialJudgement]:
    """A judgement per line of `intervals`.

    Raises:
        CommandEnds: a file cannot be read, or holds something that is no gate or no interval.
    """
    try:
        yield from judge_stream(_gate(gate), _lines(intervals))
    except ValueError as problem:
        where = gate if str(problem).startswith("gate") else intervals
        raise refused(f"{where}: {problem}") from None


def _gate(path: Path) -> Mapping[str, Any]:
    try:
        given = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as problem:
        raise refused(f"{path}: {problem}") from problem
    if not isinstance(given, dict):
        raise refused(f"{path}: a gate is a mapping such as `kind: versus_control`, got {type(given).__name__}")
    return given


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """One interval per line that is not empty, counted as lines of the file are."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    raise refused(f"{path}: line {number} is empty; each line is one interval")
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as problem:
                    raise refused(f"{path}: line {number}: {problem}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise refused(f"{path}: {problem}") from problem
