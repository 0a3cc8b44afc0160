"""Why a stage is held, what ends that by a person's decision, and when that decision cannot be taken."""

from collections.abc import Iterable, Sequence
from typing import Literal

from rollout.drift import DRIFT
from rollout.progress import RolloutProgress, StageProgress
from rollout.soak import INTERVALS_TO_END_A_HOLD, SoakState
from rollout.switch_off import SWITCHED_OFF
from rollout.verdict import UNTROUBLED, Judgement, Verdict

How = Literal["continue", "adopt", "rollback"]
_ENDED_BY_HAND: tuple[How, ...] = ("continue", "adopt")
_ADOPT_OR_ROLLBACK = "`adopt` accepts them, `rollback` takes everything back"
_ENDS_BY: dict[How, str] = {
    "continue": "goes on without the gates that do not pass now",
    "adopt": "goes on with what somebody else changed",
}


def why_not_resolved(progress: RolloutProgress, how: How) -> str | None:
    """Why this hold does not end that way; None where it does."""
    if progress.deployed_by_others:
        return f"services are not what the rollout found; {_ADOPT_OR_ROLLBACK}" if how == "continue" else None
    stage = None if progress.entered_last is None else progress.stages[progress.entered_last]
    if stage is None and how != "rollback":
        # What others had deployed was adopted, and what people are shown says so only when that is gone on with.
        return "nothing holds it any more"
    causes = stage.soak_state.causes if stage is not None and stage.soak_state is not None else ()
    unread = [j.reason for j in stage.judgements if (j.gate, j.verdict) == (DRIFT, Verdict.ERROR)] if stage else []
    if how == "rollback" or (how == "continue" and unread and set(causes) != {DRIFT}):
        # What else holds is passed over; what could not be read is looked at again, and holds again if it must.
        return None
    if DRIFT in causes and unread:
        return (
            f"flags or traffic could not be read ({'; '.join(unread)}); it goes on by itself once they can be and are "
            "what the rollout set; `rollback` takes everything back"
        )
    if how == "continue" and DRIFT in causes:
        return f"flags or traffic are not what the rollout set; {_ADOPT_OR_ROLLBACK}"
    if how == "adopt" and DRIFT not in causes:
        return f"nobody else changed flags or traffic; {_hold(causes)}"
    return None


def why_not_passed_over(progress: RolloutProgress, how: How, gates: Iterable[str] | None) -> str | None:
    """Why these gates are not passed over by this decision; None where they are."""
    if gates is None:
        return None
    if how != "continue":
        return f"gates are passed over by continue, not by {how}"
    soak = progress.judged.soak_state
    causes = soak.causes if soak is not None else ()
    others = [gate for gate in gates if gate not in causes]
    if others:
        does, is_are = _agreeing(others, "does", "do"), _agreeing(causes, "is", "are")
        holding = f"what holds it, or did, {is_are} {', '.join(causes)}" if causes else "nothing does"
        named = ", ".join(gate or "''" for gate in others)
        return f"{named} {does} not hold this stage; {holding}"
    return None


def how_resolved(progress: RolloutProgress) -> str:
    """The command that ends this hold at once, as the end of a sentence; nothing where none but going back does."""
    ends = ended_by_hand(progress)
    return f", or at once by `rollout resolve-hold {ends[0]} {progress.plan} --reason …`" if ends else ""


def when_the_clock_runs(progress: RolloutProgress) -> str:
    """Of a stage that is held: what must come about by itself."""
    soak = progress.judged.soak_state
    as_set = "flags and traffic are what the rollout set and " if soak is not None and DRIFT in soak.causes else ""
    return f"the credit clock stands and runs again when {as_set}every gate passes"


def how_it_goes_on(progress: RolloutProgress) -> str:
    """What ends an ordinary hold: by itself, by a person's decision, or by going back; the commands name the plan."""
    told = [when_the_clock_runs(progress)]
    told += [
        f"`rollout resolve-hold {how} {progress.plan} --reason …` {_ENDS_BY[how]}" for how in ended_by_hand(progress)
    ]
    return "; ".join([*told, f"to take it back: `rollout emergency-rollback {progress.plan} --reason …`"])


def ended_by_hand(progress: RolloutProgress) -> list[How]:
    """How a person can end this hold and leave people exposed."""
    return [how for how in _ENDED_BY_HAND if why_not_resolved(progress, how) is None]


def why_it_holds(progress: RolloutProgress) -> str | None:
    """What a person can decide about, whatever else the rollout stands at; None where nothing holds it."""
    if progress.deployed_by_others:
        return "; ".join(progress.deployed_by_others.values())
    return why_held(progress.judged)


def held_besides(progress: RolloutProgress) -> str:
    """Of a paused rollout, as the end of a sentence: what holds it too, and what ends that before it is resumed."""
    why, ends = why_it_holds(progress), ended_by_hand(progress)
    if why is None:
        return ""
    held_too = f"; it is held too ({why})"
    if not ends:
        return held_too
    return f"{held_too}, which `rollout resolve-hold {ends[0]} {progress.plan} --reason …` ends, paused as it is"


def why_not_looked_again(progress: RolloutProgress) -> str | None:
    """Why looking again would change nothing; None where a hold may end by what is seen."""
    if progress.deployed_by_others:
        return f"services are not what the rollout found, and a person decides about that; {_ADOPT_OR_ROLLBACK}"
    return None


def why_held(stage: StageProgress) -> str | None:
    """Why a stage is held, by its judgements; None where it is not."""
    if stage.soak_state is None or stage.soak_state.standing != "holding":
        return None
    return what_holds(stage.soak_state, stage.judgements)


def what_holds(soak: SoakState, judgements: Iterable[Judgement]) -> str:
    """What of a soak's causes speaks against it now. A cause that passes again holds only until others do too."""
    causes = [judgement for judgement in judgements if judgement.gate in soak.causes]
    if soak.standing == "holding" and causes:
        causes = _not_passing(causes)
        if not causes:
            return f"every gate passes again, and has to in {INTERVALS_TO_END_A_HOLD} intervals in a row"
    return _each_told_once(judgement.reason for judgement in causes) or ", ".join(soak.causes)


def gates_that_hold(soak: SoakState, judgements: Iterable[Judgement]) -> tuple[str, ...]:
    """The gates that `what_holds` tells of: what a person can pass over, and has seen to speak against it."""
    causes = [judgement for judgement in judgements if judgement.gate in soak.causes]
    names = [judgement.gate for judgement in _not_passing(causes)] if causes else soak.causes
    return gates_among(names)


def gates_among(causes: Iterable[str]) -> tuple[str, ...]:
    """Without what a person decides on otherwise: changes by others, and flags that a gate turned off."""
    return tuple(cause for cause in causes if cause not in (DRIFT, SWITCHED_OFF))


def how_passed_over(causes: tuple[str, ...], passed_over: tuple[str, ...]) -> list[str]:
    """What a hold that a person ended means for the gates that caused it, as parts of a sentence."""
    told = [f"{_hold(passed_over)} this stage no longer"] if passed_over else []
    kept = [cause for cause in causes if cause not in passed_over]
    if kept:
        stay = f"{', '.join(kept)} {_agreeing(kept, 'stays', 'stay')} in force"
        told.append(stay if passed_over else f"no gate is passed over, {stay}")
    return told


def _hold(causes: Sequence[str]) -> str:
    return f"{', '.join(causes)} {_agreeing(causes, 'holds', 'hold')}"


def _agreeing(names: Sequence[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _not_passing(judgements: Iterable[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.verdict not in UNTROUBLED]


def _each_told_once(reasons: Iterable[str]) -> str:
    """`Backend CPU, Backend memory: no data …`: what is said of several gates is said once."""
    titles: dict[str, list[str]] = {}
    for reason in reasons:
        title, _, told = reason.partition(": ")
        titles.setdefault(told, []).append(title)
    return "; ".join(f"{', '.join(of)}: {told}" if told else "; ".join(of) for told, of in titles.items())


def released(soak: SoakState) -> SoakState:
    """The soak without its hold; its credit clock runs with the next interval that counts."""
    return soak.model_copy(
        update={
            "standing": "passing",
            "causes": (),
            "not_passing_since": None,
            "passing_in_a_row": 0,
            "told_a_person": False,
        }
    )
