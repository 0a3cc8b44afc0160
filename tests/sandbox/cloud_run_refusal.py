"""A request that Cloud Run v2 turns away: what a row about it says, and how such requests are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.cloud import run_v2

from tests.sandbox.conformance_facts import Standing
from tests.sandbox.conformance_story import Story
from tests.sandbox.google import NAME, PARENT, to

Request = Callable[[Story], dict[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """`standing` is that of the refusal, `worded` that of its text. `field` is where `BadRequest` puts the blame."""

    standing: Standing
    worded: Standing
    fact: str
    method: str
    request: Request
    kind: str
    said: str
    field: str = ""


def update(paths: list[str] | None = None, **fields: Any) -> Request:
    service = run_v2.Service(name=NAME, **fields)
    return lambda _: {"service": service, "update_mask": {"paths": list(fields) if paths is None else paths}}


def creation(service_id: str, template: run_v2.RevisionTemplate | None) -> Request:
    return lambda _: {"parent": PARENT, "service_id": service_id, "service": run_v2.Service(template=template)}


def of_traffic(rows: list[run_v2.TrafficTarget]) -> Request:
    return update(["traffic"], traffic=rows)


def named(method: str, name: str) -> tuple[str, Request]:
    return method, lambda _: {"name": name}


def invalid(
    standing: Standing, worded: Standing, fact: str, request: Request, place: str, problem: str, rpc: str = "update"
) -> Refusal:
    """INVALID_ARGUMENT in the form that v2 words it in: `Violation in <place>: <problem>`, the place in the details."""
    at = f"{rpc.capitalize()}ServiceRequest.{place}"
    said = f"Violation in {at}: {problem}"
    return Refusal(standing, worded, fact, f"{rpc}_service", request, "InvalidArgument", said, f"Violation in {at}")


def foreign_target(fact: str, revision: str) -> Refusal:
    return Refusal(
        "reported",
        "reported",
        fact,
        "update_service",
        of_traffic([to(revision, 100)]),
        "InvalidArgument",
        f"Revision target '{revision}' invalid. Expected a revision prefixed with 'backend-'",
        "Violation in UpdateServiceRequest.service.traffic[0].revision",
    )


TRAFFIC = "service.traffic"
REVISION = "service.template.revision"
PREFIX = "The revision name must be prefixed by the name of the enclosing Service or Configuration with a trailing -"
LONG_TAG = "t" * 40
LETTERS = "must hold lower-case letters, digits and hyphens, a letter first."
HYPHEN = "must not end with a hyphen, and may hold at most 63 lower-case letters, digits and hyphens."
SERVICE_ID = (
    "must begin with a letter, must not end with a hyphen, and may hold at most 49 lower-case letters, digits and "
    "hyphens."
)
