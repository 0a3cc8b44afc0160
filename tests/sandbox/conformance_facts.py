"""What is known of Cloud Run v2, as tables: one row, one fact, and how well it is known.

recorded    seen in answers of the real API
documented  Google's reference or its client library says so
reported    users of the real service describe it
assumed     our best guess, where none of these was found

Moments of the story (`conformance_story.py`) are named as there; `"created: accepted"` is what the call that created
answered, `"created"` what GetService said once it was done.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from re import fullmatch
from typing import Any, Literal

from google.cloud import run_v2

from tests.sandbox.conformance_story import Refused, Story
from tests.sandbox.google import PROJECT, REGION, updated_at

Standing = Literal["recorded", "documented", "reported", "assumed"]
PLACE = f"region '{REGION}' in project '{PROJECT}'"
READY = [("RoutesReady", "CONDITION_SUCCEEDED"), ("ConfigurationsReady", "CONDITION_SUCCEEDED")]


@dataclass(frozen=True)
class Fact:
    """`seen(story)` is `expected`, or `expected(story)` where it depends on what came before."""

    standing: Standing
    fact: str
    seen: Callable[[Story], Any]
    expected: Any

    def wanted(self, story: Story) -> Any:
        return self.expected(story) if callable(self.expected) else self.expected


def of(moment: str, field: str) -> Callable[[Story], Any]:
    """A field of the service at a moment; `a.b` is the field of a field."""

    def read(story: Story) -> Any:
        value: Any = story.at[moment]
        for name in field.split("."):
            value = getattr(value, name)
        return value

    return read


def conditions(moment: str) -> Callable[[Story], Any]:
    return lambda story: [(each.type_, each.state.name) for each in story.at[moment].conditions]


def split(moment: str, field: str = "traffic_statuses") -> Callable[[Story], Any]:
    return lambda story: [(row.revision, row.percent, row.tag) for row in getattr(story.at[moment], field)]


def etag_formula(moment: str) -> Callable[[Story], str]:
    def formed(story: Story) -> str:
        service = story.at[moment]
        parts = (updated_at(service).SerializeToString(), service.name.encode())
        return '"{}/{}"'.format(*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts))

    return formed


def error_of(what: str) -> Callable[[Story], Any]:
    return lambda story: (story.operations[what].error.code, story.operations[what].error.message)


def matches(pattern: str, seen: Callable[[Story], Any]) -> Callable[[Story], bool]:
    return lambda story: fullmatch(pattern, seen(story)) is not None


def later(moment: str, earlier: str) -> Callable[[Story], bool]:
    return lambda story: updated_at(story.at[moment]).ToNanoseconds() > updated_at(story.at[earlier]).ToNanoseconds()


def first_container(moment: str) -> Callable[[Story], Any]:
    return lambda story: story.at[moment].template.containers[0]


def became(story: Story, what: str) -> str:
    outcome = story.refused[what]
    return outcome.kind if isinstance(outcome, Refused) else outcome


def kind_and_message(story: Story, what: str) -> tuple[str, str]:
    outcome = story.refused[what]
    return (outcome.kind, outcome.message) if isinstance(outcome, Refused) else (outcome, "")


def revision_in(story: Story, what: str) -> Any:
    """The revision that an operation answered with."""
    revision = run_v2.Revision.pb(run_v2.Revision())
    assert story.operations[what].response.Unpack(revision)
    return revision
