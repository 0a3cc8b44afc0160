"""What is sent to a rollout and by which names: the contract between the starter and the workflow.

Names are plain strings here, those of its Updates in `commands`, so that a command line can talk to a rollout without
importing the workflow, and with it every client library of the worker.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress
from rollout.quantity import parse_duration

WORKFLOW = "CanaryRollout"
TASK_QUEUE = "rollout"
EMERGENCY_TASK_QUEUE = "rollout-emergency"

QUERY_PROGRESS = "progress"
SIGNAL_EMERGENCY = "emergency_rollback"

NOT_CARRIED_OUT = "NotCarriedOut"
"""The failure of an Update that was taken and then refused by what it asked outside. Its text says what has changed."""

# What a signal's name becomes when case, hyphens and spaces are ignored; each of these starts a rollback.
EMERGENCY_SPELLINGS = frozenset({"emergency_rollback", "emergencyrollback", "rollback"})

SEARCH_PLAN = "RolloutPlan"
SEARCH_STAGE = "RolloutStage"
SEARCH_STATUS = "RolloutStatus"
SEARCH_EXPOSURE = "RolloutExposure"
SEARCH_ATTRIBUTES = (SEARCH_PLAN, SEARCH_STAGE, SEARCH_STATUS, SEARCH_EXPOSURE)

LONGEST_NAME, LONGEST_TEXT, LONGEST_IMAGE = 100, 500, 1_000
"""Characters that are kept of what people type: it goes into the record, its timeline, notices and the flag store, and
the server ends a workflow whose data have grown too large."""


def kept_of(text: str, longest: int = LONGEST_TEXT) -> str:
    """The beginning of a text. Nothing is refused for being told at length."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


Name = Annotated[str, AfterValidator(lambda text: kept_of(text, LONGEST_NAME))]
Text = Annotated[str, AfterValidator(kept_of)]
Image = Annotated[str, Field(max_length=LONGEST_IMAGE)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RolloutRequest(_Message):
    """What starts a rollout. `images` holds one image per service of the plan.

    `again` is the reason to try a candidate that was rolled back before; without it such a candidate is refused.
    `search_attributes` says whether the namespace knows ours: a rollout runs without them where it does not.
    `carried` is the record of the run before this one, when a long history was continued as new.
    """

    plan: RolloutPlan
    images: dict[str, str]
    by: Name
    reason: Text = ""
    again: Text | None = None
    search_attributes: bool = False
    carried: RolloutProgress | None = None


class Command(_Message):
    """Who asks for something, and why. Every command carries both.

    A person may type a command into Temporal's UI: each field's description says what is allowed in it.
    """

    model_config = ConfigDict(str_strip_whitespace=True)

    by: Name = Field(min_length=1, description="a text that says who asks", examples=["kim"])
    reason: Text = Field(default="", description="a text that says why", examples=["checkout is slow"])


class FlagStage(Command):
    """Hold one flag of the plan at one of its stages, or at `off`."""

    flag: Name = Field(description="the name of a flag of the plan", examples=["factory_pattern"])
    stage: Name = Field(description="the name of a stage of the plan, or off", examples=["internal"])


class Promote(Command):
    """End the soak of now, or by force begin a stage that waits for its window.

    Without `force` the gates must pass once more; with it a reason is needed.
    """

    force: bool = Field(default=False, description="true or false", examples=[False])


def _more(written: object) -> object:
    """As people write a duration; the product itself sends the ISO form, and a bare number has no unit."""
    iso = isinstance(written, str) and written.startswith("P")
    return written if iso else parse_duration(written)


class Extend(Command):
    """More credit for the stage of now, on top of what its plan asks for."""

    more: Annotated[timedelta, BeforeValidator(_more)] = Field(
        gt=timedelta(),
        le=timedelta(days=30),
        description="a duration with its unit, such as 90m, 12h or 2d, above 0 and at most 30d",
        examples=["12h"],
    )


class ReplaceCandidate(Command):
    """Other images for some or all services of the plan, by their keys. It needs a reason."""

    images: dict[Name, Image] = Field(
        min_length=1,
        description="an object with one image or more by the keys of their services, each at most "
        f"{LONGEST_IMAGE:,} characters long",
        examples=[{"backend": "shop/backend:hotfix"}],
    )


class ResolveHold(Command):
    """What ends a hold: go on without the gates that hold, accept what somebody else changed, or take it all back."""

    how: Literal["continue", "adopt", "rollback"] = Field(
        description="continue, adopt or rollback", examples=["continue"]
    )
    gates: tuple[Name, ...] | None = Field(
        default=None,
        exclude_if=lambda gates: gates is None,
        description="with continue, a list of the gates that are passed over; without it, all that held since the hold "
        "began",
    )


class Answer(_Message):
    """What a command did and what comes next, in words."""

    happened: str
    next: str
    status: str


class Notice(_Message):
    """One message about one transition. `key` is the same for every attempt to send it, so that it arrives once."""

    key: str
    severity: Literal["info", "warning", "page"]
    title: str
    text: str
    workflow_id: str
    channels: tuple[str, ...]
