"""`rollout resolve-hold continue`: passed over is what holds now, and not what did when the hold began."""

from rollout.holds import gates_that_hold
from rollout.messages import ResolveHold
from starter.outcome import failed
from starter.rollouts import Rollouts, name_of, newest


async def with_the_gates_that_hold(rollouts: Rollouts, workflow_id: str, command: ResolveHold) -> ResolveHold:
    """The command with the gates that `rollout status` shows to hold; as it is where a person named some.

    Between transitions the workflow does not know which of its causes pass again: the watch's beats do.

    Raises:
        CommandEnds: nobody can say what holds; nothing was asked for then.
    """
    if command.how != "continue" or command.gates is not None:
        return command
    observation = await rollouts.observe(workflow_id)
    if not observation.is_open:
        return command
    progress = newest(observation)
    if progress is None:
        # Sent now it would pass over, with the next worker, what nobody has seen.
        raise failed(
            f"{name_of(workflow_id)}: nobody can say what holds it: {observation.silence}. Nothing was changed"
        )
    soak, judgements = progress.judged.soak_state, progress.judged.judgements
    # Should a hold begin only now, nobody has seen what it is for.
    gates = () if soak is None or soak.standing != "holding" else gates_that_hold(soak, judgements)
    return command.model_copy(update={"gates": gates})
