"""Recorded intervals through the judge; whatever is wrong is said with its file and line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rollout.json_reading import read_json
from rollout.judge_stream import judge_stream
from rollout.sequential_model import SequentialJudgement
from starter.outcome import refused
from starter.text_lines import lines_of
from starter.yaml_document import MAX_BYTES, YamlRefused, read_document


def replayed(gate: Path, intervals: Path) -> Iterator[SequentialJudgement]:
    """A judgement per line of `intervals`.

    Raises:
        CommandEnds: a file cannot be read, or holds something that is no gate or no interval.
    """
    asked, judged = _gate(gate), None
    try:
        for judged in judge_stream(asked, _lines(intervals)):
            yield judged
    except ValueError as problem:
        where = gate if str(problem).startswith("gate:") else intervals
        raise refused(f"{where}: {problem}") from None
    if judged is None:
        raise refused(f"{intervals}: holds no interval; each line is one")


def _gate(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            given = read_document(file.read(MAX_BYTES + 1)).plain()
    except OSError as problem:
        raise refused(f"{path}: {problem.strerror}") from problem
    except YamlRefused as problem:
        raise refused(f"{path}:{problem.line}: {problem.problem}") from problem
    if not isinstance(given, dict):
        raise refused(f"{path}: a gate is a mapping such as `kind: versus_control`, got {type(given).__name__}")
    return given


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """One interval per line."""
    try:
        for number, line in enumerate(lines_of(path), start=1):
            if not line.strip():
                raise refused(f"{path}: line {number} is empty; each line is one interval")
            yield _interval(path, number, line)
    except OSError as problem:
        raise refused(f"{path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise refused(f"{path}: not UTF-8 text") from problem


def _interval(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        given: Mapping[str, Any] = read_json(line)
    except ValueError as problem:
        raise refused(f"{path}: line {number}: {problem}") from problem
    return given
