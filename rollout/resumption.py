"""What a rollout does next once a person has resumed it: only where it soaks and nothing holds it does credit grow."""

from rollout.holds import held_besides, how_resolved, when_the_clock_runs, why_held
from rollout.progress import RolloutProgress, RolloutStatus

_SOAKS = (RolloutStatus.SOAKING, RolloutStatus.HOLDING, RolloutStatus.PAUSED)


def how_resumed(progress: RolloutProgress) -> str:
    """What comes next for a paused rollout: a person resumes it, and decides earlier or later what else holds it."""
    return f"`rollout resume {progress.plan}`{held_besides(progress)}"


def what_follows_resuming(progress: RolloutProgress) -> str:
    """As the end of an answer; `progress` as it stands once it is resumed."""
    held = why_held(progress.judged)
    holds = f"held still ({held}): {when_the_clock_runs(progress)}{how_resolved(progress)}"
    if progress.current.state == "soaking" and progress.status in _SOAKS:
        return holds if held else "the credit clock runs again"
    awaited = f"{progress.why}; {progress.next}"
    return f"{awaited}; {progress.judged.name} is held: {held}" if held else awaited
