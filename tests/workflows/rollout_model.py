"""What a rollout of the plan in `many_rollouts` may do, and where it comes to stand: a small pure model.

A `Place` is one possibility. `Possible` holds all that fit what was seen: commands move each of them, what a rollout
does by itself (a quick stage earns its credit, an approved stage is entered) opens further ones.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from rollout.commands import CommandName, refusal
from rollout.progress import RolloutStatus
from tests.workflows.matrix_cells import HALF, NOBODY, TENTH, Standing

DARK, CANARY, STAGED = range(3)
SHOWN = (NOBODY, TENTH, HALF)
"""What the flag store shows at each stage of the plan."""

_S = RolloutStatus
_C = CommandName

Promoted = Literal["", "once it passes", "by force"]


@dataclass(frozen=True)
class Place:
    """`at` is the stage that was entered last, None before the first one; `ahead` the one that waits for a person."""

    quick: frozenset[int] = frozenset()
    """The stages whose soak is a moment; those that a person extended are not."""
    busy: bool = False
    """The metric whose gate holds the canary says too much."""
    at: int | None = None
    ahead: int | None = None
    approved: frozenset[int] = frozenset()
    stepped_back_from: frozenset[int] = frozenset()
    return_to: int | None = None
    promoted: Promoted = ""
    waived: bool = False
    paused: bool = False
    watched: bool = False
    limited: bool = False
    blind: bool = False
    """Its gates cannot be judged, which holds it for as long as that lasts."""

    @property
    def level(self) -> int:
        """The stage that people are shown."""
        return DARK if self.at is None or self.limited else self.at

    @property
    def held(self) -> bool:
        return self.blind or (self.busy and self.at == CANARY and not self.waived)

    @property
    def current(self) -> int:
        """The stage that a command is about."""
        return self.ahead if self.ahead is not None else self.at or DARK

    @property
    def status(self) -> RolloutStatus:
        if self.paused:
            return _S.PAUSED
        if self.ahead is not None and not (self.held and self.ahead in self.approved):
            return _S.AWAITING_APPROVAL
        if self.held:
            return _S.HOLDING
        return _S.WATCHING if self.watched else _S.SOAKING

    @property
    def standing(self) -> Standing:
        return Standing(self.status, SHOWN[self.level])

    def moves_by_itself(self) -> "Place | None":
        """The next place that nobody has to ask for; None where it rests."""
        if self.blind:
            return replace(self, blind=False)
        if self.paused:
            return None
        if self.at is None:
            return replace(self, at=DARK)
        if self.ahead is not None:
            return self._enter(self.ahead) if self.ahead in self.approved and not self.held else None
        earns = self.at in self.quick or self.promoted == "once it passes"
        if not self.watched and (self.promoted == "by force" or (earns and not self.held)):
            return self._pass(self.at)
        return None

    def _pass(self, at: int) -> "Place":
        if at == STAGED:
            return replace(self, watched=True, promoted="")
        following = max(at + 1, self.return_to or DARK)
        passed = replace(self, return_to=None, promoted="")
        if following in self.stepped_back_from and following not in self.approved:
            return replace(passed, ahead=following)
        return passed._enter(following)

    def _enter(self, stage: int) -> "Place":
        return replace(self, at=stage, ahead=None)

    def why_not(self, command: CommandName, *, forced: bool) -> str | None:
        """Words of the sentence with which a command is refused here; None where it is taken."""
        watched = self.watched and self.status is _S.HOLDING and command is not _C.RESOLVE_HOLD
        beside = self.status in (_S.PAUSED, _S.AWAITING_APPROVAL) and command is _C.RESOLVE_HOLD
        held_too = self.held and beside
        table = refusal(command, _S.WATCHING if watched else _S.HOLDING if held_too else self.status)
        if table is not None:
            return table
        if command is _C.STEP_BACK and not self.at:
            return "nobody sees the features yet"
        if command is _C.SET_STAGE and (self.limited or self.at is None):
            return "no flag yet" if self.at is None else "is at off already"
        if command is _C.PROMOTE and self.status is _S.HOLDING and (self.ahead is not None or not forced):
            return "cannot promote: "
        return None

    def after(self, command: CommandName, *, forced: bool) -> "Place":
        """Where a command that is taken leads at once."""
        match command:
            case _C.PAUSE | _C.RESUME:
                return replace(self, paused=command is _C.PAUSE)
            case _C.APPROVE:
                return replace(self, approved=self.approved | {self.current})
            case _C.PROMOTE:
                return replace(self, promoted="by force" if forced else "once it passes")
            case _C.EXTEND:
                return replace(self, quick=self.quick - {self.current})
            case _C.SET_STAGE:
                return replace(self, limited=True)
            case _C.RESOLVE_HOLD:
                return replace(self, waived=True, blind=False)
            case _C.STEP_BACK:
                assert self.at
                earlier = frozenset(stage for stage in self.approved if stage < self.at)
                left = self.stepped_back_from | {self.at}
                back = replace(self, at=self.at - 1, ahead=None, approved=earlier, stepped_back_from=left)
                return replace(back, promoted="", waived=False, watched=False, blind=False)
            case _C.REPLACE_CANDIDATE:
                anew = replace(self, at=None, ahead=None, approved=frozenset(), stepped_back_from=frozenset())
                return replace(anew, return_to=self.current, promoted="", waived=False, watched=False, blind=False)
            case _:
                return self


@dataclass
class Possible:
    """The places that a rollout may be at. Every one of them is one that it was allowed to come to."""

    places: frozenset[Place] = field(default_factory=lambda: frozenset({Place()}))

    def wanders(self) -> None:
        """Whatever it does by itself, it may have done by now."""
        self.places = frozenset(_with_all_that_follows(self.places))

    def may_be_blind(self) -> None:
        """Something is wrong outside, and may be what its gates ask."""
        entered = {place for place in self.places if place.at is not None}
        self.places |= {replace(place, blind=True) for place in entered}

    def rests(self, standing: Standing, at: int | None, *, held: bool) -> bool:
        """Whether it comes to rest there; if so, that is known from now on.

        What waits for a person or is paused does not show by its status whether its gates hold it already.
        """
        resting = {place for place in _with_all_that_follows(self.places) if place.moves_by_itself() is None}
        seen = frozenset(place for place in resting if (place.standing, place.at, place.held) == (standing, at, held))
        self.places = seen or self.places
        return bool(seen)

    def taken(self, command: CommandName, *, forced: bool) -> bool:
        """It took a command; whether there is a place at which it may."""
        taking = [place for place in self.places if place.why_not(command, forced=forced) is None]
        after = {place.after(command, forced=forced) for place in taking}
        if command is _C.RESOLVE_HOLD and any(place.blind for place in taking):
            # What held it may have been nothing but that its gates could not be judged.
            after |= {replace(place, waived=False) for place in after}
        self.places = frozenset(after)
        return bool(after)

    def refused(self, command: CommandName, why: str, *, forced: bool) -> bool:
        """It refused a command with these words; whether there is a place at which it does."""
        sentences = {place: place.why_not(command, forced=forced) for place in self.places}
        fitting = frozenset(place for place, sentence in sentences.items() if sentence is not None and sentence in why)
        self.places = fitting or self.places
        return bool(fitting)

    def each(self, change: Callable[[Place], Place]) -> None:
        self.places = frozenset(change(place) for place in self.places)

    @property
    def highest(self) -> int:
        """The stage above which nobody may be shown anything."""
        return max(place.level for place in self.places)


def _with_all_that_follows(places: Iterable[Place]) -> set[Place]:
    found: set[Place] = set()
    for place in places:
        following: Place | None = place
        while following is not None and following not in found:
            found.add(following)
            following = following.moves_by_itself()
    return found
