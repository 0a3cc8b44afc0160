"""From a plan's YAML file to a `RolloutPlan`, or to every reason why it is not one."""

import sys
from pathlib import Path
from zoneinfo import available_timezones

from pydantic import ValidationError

from rollout.plan import RolloutPlan
from starter.plan_meaning import meaningless, whole_numbers
from starter.plan_problems import Problem, is_true_or_false, problems_at, problems_of, unknown_time_zone
from starter.yaml_document import MAX_BYTES, YamlRefused, read_document

PLAN_SUFFIXES = (".yaml", ".yml", ".json")


class PlanRefused(Exception):  # noqa: N818  (a decision about a file, not an error of the program)
    """A plan file that cannot be used: what is wrong, all at once, each with its line."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        super().__init__(
            "\n".join(
                f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}" for problem in problems
            )
        )
        self.file = file
        self.problems = problems


def load_plan(path: Path, *, as_it_is: bool = False) -> RolloutPlan:
    """Read and check a plan. `-` is standard input.

    Raises:
        PlanRefused: it cannot be read, is not YAML, or breaks a rule; `as_it_is`, what it says need not be meant.
    """
    if str(path) == "-":
        return parse_plan(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input", as_it_is=as_it_is)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as failure:
        raise PlanRefused(str(path), [_whole_file(failure.strerror or str(failure), line=0)]) from failure
    return parse_plan(data, str(path), as_it_is=as_it_is)


def group_and_environment(given: str, environment: str | None) -> tuple[str, str | None]:
    """Of a plan's file or its name: its group of flags, and where that is as far as it is known.

    Raises:
        PlanRefused: a file was given, and it is no plan.
    """
    if not given.endswith(PLAN_SUFFIXES):
        return given, environment
    # Whoever turns everything off is not told first what else is wrong with the file.
    plan = load_plan(Path(given), as_it_is=True)
    return plan.name, plan.environment


def parse_plan(data: bytes, file: str, *, as_it_is: bool = False) -> RolloutPlan:
    """Check a plan's text; `file` names it in messages.

    Raises:
        PlanRefused: it is not YAML, breaks a rule or, unless taken `as_it_is`, says what nobody can mean.
    """
    try:
        document = read_document(data)
    except YamlRefused as refused:
        raise PlanRefused(file, [_whole_file(refused.problem, refused.line)]) from None
    if not isinstance(document.value, dict):
        problem = "a plan is a mapping of fields to values: name, description, services, stages, …"
        raise PlanRefused(file, [_whole_file(problem, document.line)])
    try:
        plan = RolloutPlan.model_validate(document.plain())
    except ValidationError as refused:
        raise PlanRefused(file, problems_of(refused, document)) from None
    # The model knows no time zones: which there are is a fact of the machine.
    if plan.windows is not None and plan.windows.time_zone not in available_timezones():
        raise PlanRefused(file, [unknown_time_zone(document, available_timezones())])
    if not as_it_is:
        broken = [
            (place, "must be a whole number") for place in whole_numbers(plan) if is_true_or_false(document, place)
        ]
        if found := problems_at([*meaningless(plan), *broken], document):
            raise PlanRefused(file, found)
    return plan


def _whole_file(problem: str, line: int) -> Problem:
    """A problem that is no field's; line 0 where the file could not even be read."""
    return Problem(line=line, place=(), field="", problem=problem, given=None)
