"""Requests that Cloud Run v2 turns away before anything changes: one row each, with the words it does so in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.cloud import run_v2

from tests.sandbox.conformance_facts import PLACE, Standing
from tests.sandbox.conformance_story import Story
from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, OLD_IMAGE, PARENT, template_of, to, to_latest

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


def _invalid(
    standing: Standing, worded: Standing, fact: str, request: Request, place: str, problem: str, rpc: str = "update"
) -> Refusal:
    """INVALID_ARGUMENT in the form that v2 words it in: `Violation in <place>: <problem>`, the place in the details."""
    at = f"{rpc.capitalize()}ServiceRequest.{place}"
    said = f"Violation in {at}: {problem}"
    return Refusal(standing, worded, fact, f"{rpc}_service", request, "InvalidArgument", said, f"Violation in {at}")


def _foreign_target(fact: str, revision: str) -> Refusal:
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

REFUSALS = (
    _invalid(
        "documented",
        "assumed",
        "a sum below 100",
        of_traffic([to("backend-a", 50)]),
        TRAFFIC,
        "Traffic targets sum to 50, want 100.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a sum above 100",
        of_traffic([to("backend-a", 60), to("backend-b", 60)]),
        TRAFFIC,
        "Traffic targets sum to 120, want 100.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a percent above 100",
        of_traffic([to("backend-a", 200), to("backend-b", -100)]),
        f"{TRAFFIC}[0].percent",
        "200 is not between 0 and 100.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a percent below 0",
        of_traffic([to("backend-a", -1), to("backend-b", 101)]),
        f"{TRAFFIC}[0].percent",
        "-1 is not between 0 and 100.",
    ),
    _invalid(
        "reported",
        "assumed",
        "one tag twice",
        of_traffic([to("backend-a", 100, "blue"), to("backend-b", 0, "blue")]),
        TRAFFIC,
        "Multiple definitions for tag 'blue'.",
    ),
    _invalid(
        "reported",
        "assumed",
        "a tag of two characters",
        of_traffic([to("backend-a", 100, "s1")]),
        f"{TRAFFIC}[0].tag",
        "Traffic tag 's1' must have at least 3 characters.",
    ),
    _invalid(
        "reported",
        "reported",
        "tag and service of 47 characters",
        of_traffic([to("backend-a", 100, LONG_TAG)]),
        f"{TRAFFIC}[0].tag",
        f"traffic tag '{LONG_TAG}' and service name 'backend' together are too long. "
        "Combined traffic tag and service name cannot exceed 46 characters.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a tag that no host name may hold",
        of_traffic([to("backend-a", 100, "Not Good")]),
        f"{TRAFFIC}[0].tag",
        f"'Not Good' {LETTERS}",
    ),
    _invalid(
        "documented",
        "assumed",
        "a row without a type",
        of_traffic([to_latest(0), run_v2.TrafficTarget(revision="backend-a", percent=100)]),
        f"{TRAFFIC}[1].type",
        "The allocation type must be LATEST or REVISION.",
    ),
    _foreign_target("a full name as target", f"{NAME}/revisions/backend-a"),
    _foreign_target("another service's revision as target", "auth-a"),
    _foreign_target("no revision as target", ""),
    _invalid(
        "reported",
        "reported",
        "a revision name without the service's",
        update(["template"], template=template_of(NEW_IMAGE, "canary")),
        REVISION,
        PREFIX,
    ),
    _invalid(
        "reported",
        "reported",
        "a revision name that is the prefix alone",
        update(["template"], template=template_of(NEW_IMAGE, "backend-")),
        REVISION,
        PREFIX,
    ),
    _invalid(
        "assumed",
        "assumed",
        "a revision name of 64 characters",
        update(["template"], template=template_of(NEW_IMAGE, "backend-" + "r" * 56)),
        REVISION,
        f"'backend-{'r' * 56}' {HYPHEN}",
    ),
    _invalid(
        "assumed",
        "assumed",
        "a revision name that ends with a hyphen",
        update(["template"], template=template_of(NEW_IMAGE, "backend-r-")),
        REVISION,
        f"'backend-r-' {HYPHEN}",
    ),
    Refusal(
        "reported",
        "reported",
        "a revision name used for another configuration",
        "update_service",
        update(["template"], template=template_of("shop/backend:9", CANDIDATE)),
        "AlreadyExists",
        f"Revision named '{CANDIDATE}' with different configuration already exists.",
    ),
    _invalid(
        "reported",
        "reported",
        "a service without a template",
        creation("idea", None),
        "service.template",
        "required field not present.",
        "create",
    ),
    _invalid(
        "documented",
        "assumed",
        "a template without a container",
        update(["template"], template=run_v2.RevisionTemplate()),
        "service.template.containers",
        "A revision needs at least one container.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a container without an image",
        update(["template"], template=run_v2.RevisionTemplate(containers=[run_v2.Container()])),
        "service.template.containers[0].image",
        "A container needs an image.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a mask that names no field",
        update(["trafficStatuses"]),
        "update_mask",
        "Service has no field 'trafficStatuses'.",
    ),
    _invalid(
        "documented",
        "assumed",
        "an annotation of the system",
        update(annotations={"run.googleapis.com/ingress": "all"}),
        "service.annotations",
        "'run.googleapis.com/ingress' is in a namespace that belongs to the system.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a label of the system",
        update(labels={"serving.knative.dev/x": "y"}),
        "service.labels",
        "'serving.knative.dev/x' is in a namespace that belongs to the system.",
    ),
    _invalid(
        "documented",
        "assumed",
        "a service id of 50 characters",
        creation("a" * 50, template_of(OLD_IMAGE)),
        "service_id",
        f"'{'a' * 50}' {SERVICE_ID}",
        "create",
    ),
    _invalid(
        "documented",
        "assumed",
        "a service id that begins with a digit",
        creation("1st", template_of(OLD_IMAGE)),
        "service_id",
        f"'1st' {SERVICE_ID}",
        "create",
    ),
    Refusal(
        "documented",
        "assumed",
        "a service that exists already",
        "create_service",
        creation("backend", template_of(OLD_IMAGE)),
        "AlreadyExists",
        "Resource 'backend' already exists.",
    ),
    Refusal(
        "recorded",
        "recorded",
        "a service that is not there",
        *named("get_service", f"{PARENT}/services/nobody"),
        "NotFound",
        f"Resource 'nobody' of kind 'SERVICE' in {PLACE} does not exist.",
    ),
    Refusal(
        "documented",
        "recorded",
        "an update of a missing service, allow_missing or not",
        "update_service",
        lambda _: {
            "service": run_v2.Service(name=f"{PARENT}/services/nobody", template=template_of(OLD_IMAGE)),
            "allow_missing": True,
        },
        "NotFound",
        f"Resource 'nobody' of kind 'SERVICE' in {PLACE} does not exist.",
    ),
    Refusal(
        "documented",
        "assumed",
        "a revision that is not there",
        *named("get_revision", f"{NAME}/revisions/backend-none"),
        "NotFound",
        f"Resource 'backend-none' of kind 'REVISION' in {PLACE} does not exist.",
    ),
    Refusal(
        "reported",
        "assumed",
        "the deletion of the latest revision",
        "delete_revision",
        lambda story: {"name": story.at["newest"].latest_ready_revision},
        "FailedPrecondition",
        "cannot be deleted: it can receive traffic or is the latest one.",
    ),
    Refusal(
        "documented",
        "assumed",
        "a page token of somebody else",
        "list_revisions",
        lambda _: {"parent": NAME, "page_token": "bm90LW91cnM6MQ=="},
        "InvalidArgument",
        "The page token is not one of this server.",
        "ListRevisionsRequest.page_token",
    ),
    Refusal(
        "documented",
        "assumed",
        "a negative page size",
        "list_services",
        lambda _: {"parent": PARENT, "page_size": -1},
        "InvalidArgument",
        "The page size must not be negative.",
        "ListServicesRequest.page_token",
    ),
)
