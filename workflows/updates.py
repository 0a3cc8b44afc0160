"""Updates of any shape: each is read before it is judged, and a wrong one refused with a sentence and an example.

A handler with a typed parameter is refused by the SDK, in the SDK's words, before any validator of ours is asked.
"""

import inspect
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from rollout.command_reading import example_of, read_command
    from rollout.commands import CommandName
    from rollout.messages import SIGNAL_EMERGENCY, Answer, Command

C = TypeVar("C", bound=Command)
R = TypeVar("R")

LEAST_ALIKE = 0.5
"""How alike a misspelt name must be to be taken for a name, from 0 to 1."""


class Answering(Protocol):
    def answer_before(self) -> Answer | None: ...

    def answering(self, result: object) -> object: ...


def taking(name: CommandName, message: type[C]) -> Callable[[Callable[[Any, C], R]], Callable[..., R]]:
    """A handler, or a validator, of one message becomes one of any inputs, which are read as that message.

    What it raises for others is an ApplicationError: before an Update is accepted, that refuses it.
    A request that was answered by a run before this one has its answer, and is not done again.
    """

    def decorate(handler: Callable[[Any, C], R]) -> Callable[..., R]:
        def of_any_inputs(self: Answering, *values: object) -> object:
            before = self.answer_before()
            return before or self.answering(handler(self, _read(name, message, values)))

        async def of_any_inputs_later(self: Answering, *values: object) -> object:
            before = self.answer_before()
            return before or self.answering(
                await cast("Awaitable[object]", handler(self, _read(name, message, values)))
            )

        # The SDK awaits only what it knows as a coroutine function.
        wrapper = cast(
            "Callable[..., R]", of_any_inputs_later if inspect.iscoroutinefunction(handler) else of_any_inputs
        )
        wrapper.__name__, wrapper.__qualname__, wrapper.__doc__ = (
            handler.__name__,
            handler.__qualname__,
            handler.__doc__,
        )
        return wrapper

    return decorate


def _read(name: CommandName, message: type[C], values: tuple[object, ...]) -> C:
    try:
        return read_command(name, message, values)
    except ValueError as refused:
        raise ApplicationError(str(refused)) from None


def unknown(name: str) -> str:
    """What is said to an Update whose name is none: what was probably meant, and all there are."""
    names = [command.value for command in CommandName]
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    close = get_close_matches(plain, [SIGNAL_EMERGENCY, *names], n=1, cutoff=LEAST_ALIKE)
    meant = f"; did you mean {close[0]}?" if close else "."
    return (
        f"there is no Update {name!r}{meant} Known are {', '.join(names)}, with an input such as "
        f"{example_of(Command)}; {SIGNAL_EMERGENCY} takes everything back, with any input or none, as a signal or as "
        "an Update"
    )
