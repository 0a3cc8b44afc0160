"""Why a rollout could not be looked up in Temporal. Callers that can do without Temporal tell these apart."""

from rollout.field_problems import shown
from starter.outcome import CommandEnds, ExitCode


class TemporalSilent(CommandEnds):
    """Temporal did not say what was asked for: it is away, or refuses whoever asks. Nothing was changed."""

    def __init__(self, text: str) -> None:
        super().__init__(ExitCode.FAILED, text)


class NoSuchRollout(CommandEnds):
    """Temporal answers, and knows no rollout of that name."""

    def __init__(self, name: str) -> None:
        there_are = "`rollout list --all` shows those there are"
        super().__init__(ExitCode.REFUSED, f"there is no rollout {shown(name)}; {there_are}")


class NoneOpen(CommandEnds):
    """Nobody said which rollout is meant, and there is none that runs."""

    def __init__(self) -> None:
        text = "no rollout is open. `rollout list --all` shows the closed ones; name one to see it"
        super().__init__(ExitCode.REFUSED, text)
