"""Which command a rollout takes in which state, as Markdown: `python -m starter.command_table`.

Written from the very table that the workflow's validators read; `docs/operating.md` holds a copy between two marks.
"""

import sys

from rollout.commands import CommandName, in_words, refusal
from rollout.progress import RolloutStatus
from rollout.superseding import ending_at

BEGIN, END = "<!-- commands: python -m starter.command_table -->", "<!-- end of commands -->"
ACCEPTED = "yes"
FURTHER = {
    CommandName.PAUSE: "Refused too while a paused rollout steps back, and where it holds after its last stage.",
    CommandName.PROMOTE: (
        "While holding, or outside the plan's windows, only by force, with a reason; "
        "a stage that waits for the one before it to stop holding is let in by `resolve-hold`."
    ),
    CommandName.STEP_BACK: "One at a time; refused while nobody sees the features.",
    CommandName.RESOLVE_HOLD: (
        "`continue` not for foreign changes; `adopt` only for those, never for more exposure; "
        "neither while flags or traffic cannot be read. `continue` passes over the gates that do not pass now, "
        "or those that `--gate` names (`gates` in the input of an Update, without which it is all that held since the "
        "hold began). A rollout that is paused, or waits, and is held "
        "too takes the decision, remembers it and stays paused, or waits on."
    ),
    CommandName.SET_STAGE: (
        "Typed `rollout update-stage`, with the name of a stage of the plan or off; "
        "no higher than the stage that was reached."
    ),
    CommandName.REPLACE_CANDIDATE: "Needs other images than now, and a reason; not images that were taken back before.",
    CommandName.RETRY: "Refused too while what somebody else deployed waits for `resolve-hold`: no look ends that.",
    CommandName.FINISH: "Ends the watch after the last stage, one that holds too, or the guard after a rollback.",
}
SUPERSEDING = (
    "What becomes of the rollout that is open. Ended is only its watch: everybody stays exposed until the next rollout "
    "begins with its flags off, and what serves is the anchor of that one. Refused while such a watch holds (it stands "
    "at `holding` then): `resolve-hold` decides first. Refused too while no worker says how far it is, or for the very "
    "images that are taken back by it. Where an emergency comes beside it, the kill switch stays set, and nothing "
    "starts."
)


def table() -> str:
    """Commands down, states across; the numbers name the messages below."""
    messages: dict[str, int] = {}
    rows = [["command", *(in_words(status) for status in RolloutStatus)]]
    rows.append(["---"] * len(rows[0]))
    for command in CommandName:
        cells = []
        for status in RolloutStatus:
            why = refusal(command, status)
            cells.append(ACCEPTED if why is None else str(messages.setdefault(_reason(why), len(messages) + 1)))
        rows.append([_written(command), *cells])
    rows.append(["`emergency-rollback`", *(_emergency(status) for status in RolloutStatus)])
    rows.append(["`start --supersede`", *(ending_at(status) for status in RolloutStatus)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "Refused (exit code 2), with `cannot COMMAND:` and", ""]
    lines += [f"{number}. {message}" for message, number in messages.items()]
    lines += ["", "Besides:", ""]
    lines += [f"- {_written(command)}: {more}" for command, more in FURTHER.items()]
    lines += [f"- `start --supersede`: {SUPERSEDING}"]
    return "\n".join(lines)


def _written(command: CommandName) -> str:
    """As it is typed; the Update is called the same with an underscore."""
    return f"`{command.value.replace('_', '-')}`"


def _reason(why: str) -> str:
    return why.partition(": ")[2]


def _emergency(status: RolloutStatus) -> str:
    """A signal is never refused; where there is nothing left to undo, it is recorded."""
    return "recorded" if status in (RolloutStatus.ROLLED_BACK, RolloutStatus.REFUSED) else ACCEPTED


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
