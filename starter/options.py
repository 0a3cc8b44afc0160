"""Options that several commands share, so that they are named and explained the same everywhere."""

import getpass
import re
from typing import Annotated, Any

import typer


def login_name() -> str:
    """Who runs this command; in a container without a user database, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def not_empty(value: str) -> str:
    """For options that go into the record: said, or not accepted. At length it is shortened, not refused."""
    if not value.strip():
        raise typer.BadParameter("it is kept in the record and cannot be empty")
    from rollout.messages import kept_of  # noqa: PLC0415  (not for `--help`)

    return kept_of(value.strip())


def named(value: str | None) -> str | None:
    """For what goes by a name: without the blanks that a script or a copied line leaves around it, and not blank."""
    if value is None:
        return None
    if not value.strip():
        raise typer.BadParameter(f"{value!r}: a name is expected, or the whole of it left out")
    return value.strip()


def watched_by_people(*, watch: bool, otherwise: str | None) -> None:
    """A watch ends with the rollout, and its exit code says how: what answers at once would seem to say that.

    Raises:
        BadParameter: it is asked to watch and for something that answers `otherwise`, at once.
    """
    if watch and otherwise is not None:
        problem = f"goes on until the rollout ends, {otherwise} answers at once; give one of them"
        raise typer.BadParameter(problem, param_hint="--watch")


def each_named(values: list[str] | None) -> list[str] | None:
    """As `named`, for options that may be repeated."""
    return None if values is None else [str(named(value)) for value in values]


def a_name(value: str | None) -> str | None:
    """For options that name an environment: as the flag store's keys are spelt, or not accepted."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise typer.BadParameter(f"{value!r}: expected letters, digits, `.`, `_` and `-`, the first a letter or digit")
    return value


def _who(*names: str) -> Any:
    return typer.Option(
        *names,
        metavar="NAME",
        help="Who does this; kept in the record.",
        default_factory=login_name,
        callback=not_empty,
        show_default="your login name",
    )


RolloutId = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="Name of the rollout (its plan's name, with or without rollout/). Not needed while only one is open.",
        show_default=False,
        callback=named,
    ),
]
By = Annotated[str, _who("--by")]
UpdatedBy = Annotated[str, _who("--updated-by", "--by")]
NeededReason = Annotated[
    str, typer.Option("--reason", help="Why; kept in the record and told to everybody.", callback=not_empty)
]
Environment = Annotated[
    str | None,
    typer.Option(
        "--environment", help="Where; needed only where there are several.", callback=a_name, show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of words.")]
