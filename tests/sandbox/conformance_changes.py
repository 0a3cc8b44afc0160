"""Operations, traffic, revisions, what fails, and what the profiles differ in; see `conformance_facts.py`."""

from re import fullmatch
from uuid import UUID

from google.cloud import run_v2

from tests.sandbox.conformance_facts import READY, Fact, became, conditions, error_of, matches, of, split
from tests.sandbox.conformance_story import STORED, Refused, service_in
from tests.sandbox.google import CANDIDATE, NAME, PARENT, short, to_latest

State = run_v2.Condition.State
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
ROUTES_FAILED = [("RoutesReady", "CONDITION_FAILED"), ("ConfigurationsReady", "CONDITION_SUCCEEDED")]
CONFIGURATION_FAILED = [("RoutesReady", "CONDITION_SUCCEEDED"), ("ConfigurationsReady", "CONDITION_FAILED")]
BOTH_FAILED = [("RoutesReady", "CONDITION_FAILED"), ("ConfigurationsReady", "CONDITION_FAILED")]
LOST = (
    "Revision 'backend-gone' does not exist or is deleted. Update all traffic to route to currently available "
    "revisions."
)

OPERATIONS = (
    Fact(
        "recorded",
        "an operation is named by a UUID below its location",
        lambda s: [
            (name.rpartition("/")[0], UUID(name.rpartition("/")[2]).version)
            for name in (s.operations["created"].name, s.operations["deployed"].name)
        ],
        [(f"{PARENT}/operations", 4)] * 2,
    ),
    Fact(
        "recorded",
        "its response is the whole service",
        lambda s: service_in(s.operations["deployed"].response),
        lambda s: s.at["deployed"],
    ),
    Fact(
        "recorded",
        "and so are its metadata",
        lambda s: service_in(s.operations["deployed"].metadata),
        lambda s: s.at["deployed"],
    ),
    Fact(
        "assumed",
        "a failed one has the service as metadata and no response",
        lambda s: (service_in(s.operations["lost"].metadata), s.operations["lost"].WhichOneof("result")),
        lambda s: (s.at["lost"], "error"),
    ),
    Fact(
        "assumed",
        "one that was overtaken ends without an error",
        lambda s: s.operations["overtaken"].WhichOneof("result"),
        "response",
    ),
)

TRAFFIC = (
    Fact(
        "documented",
        "a tag alone gets an address and no traffic",
        split("deployed"),
        lambda s: [(s.stable, 100, ""), (CANDIDATE, 0, "canary")],
    ),
    Fact(
        "reported",
        "a tag's address is the service's with the tag and three hyphens before it",
        lambda s: s.at["deployed"].traffic_statuses[1].uri,
        lambda s: s.at["deployed"].uri.replace("/run/", "/run/canary---"),
    ),
    Fact("documented", "a row without a tag has no address", lambda s: s.at["deployed"].traffic_statuses[0].uri, ""),
    Fact(
        "documented",
        "a row of a revision names its short name",
        lambda s: [(row.type_.name, row.revision) for row in s.at["shifted"].traffic_statuses],
        lambda s: [(REVISION, s.stable), (REVISION, CANDIDATE)],
    ),
    Fact(
        "assumed",
        "rows are observed in the order they were given in",
        split("shifted"),
        lambda s: [(s.stable, 90, ""), (CANDIDATE, 10, "canary")],
    ),
    Fact(
        "documented",
        "a service that names its revisions keeps its split when the template changes",
        split("new template"),
        split("shifted"),
    ),
    Fact(
        "documented",
        "a masked empty list gives everything to the latest revision",
        of("newest", "traffic"),
        [to_latest(100)],
    ),
    Fact(
        "recorded",
        "and its status names no revision",
        lambda s: [(row.type_.name, row.revision, row.percent) for row in s.at["newest"].traffic_statuses],
        [(LATEST, "", 100)],
    ),
    Fact(
        "recorded",
        "later automatic names count on",
        matches(r"backend-\d{5}-[a-z0-9]{3}", lambda s: short(s.at["newest"].latest_ready_revision)),
        True,
    ),
)

BROKEN = (
    Fact("reported", "an unknown revision fails the operation with 13 and these words", error_of("lost"), (13, LOST)),
    Fact("reported", "the desired traffic names it", split("lost", "traffic"), [("backend-gone", 100, "")]),
    Fact("reported", "the observed traffic is still that of before", split("lost"), split("shifted")),
    Fact("assumed", "its routes have failed, its configurations not", conditions("lost"), ROUTES_FAILED),
    Fact("assumed", "and the service is not ready", of("lost", "terminal_condition.state"), State.CONDITION_FAILED),
    Fact(
        "reported",
        "a failed change is observed all the same",
        of("lost", "observed_generation"),
        of("lost", "generation"),
    ),
    Fact(
        "assumed",
        "naming the revisions anew mends it",
        lambda s: (split("mended")(s), conditions("mended")(s)),
        lambda s: (split("shifted")(s), READY),
    ),
    Fact(
        "reported",
        "a revision that does not start fails the operation with 9",
        lambda s: s.operations["failed"].error.code,
        9,
    ),
    Fact(
        "reported",
        "in these words",
        lambda s: s.operations["failed"].error.message.split(". ")[0],
        "Revision 'backend-broken' is not ready and cannot serve traffic",
    ),
    Fact(
        "reported",
        "the desired traffic stays changed",
        split("failed", "traffic"),
        lambda s: [(s.stable, 90, ""), ("backend-broken", 10, "")],
    ),
    Fact("reported", "the observed traffic does not change", split("failed"), split("mended")),
    Fact("assumed", "routes and configurations have failed", conditions("failed"), BOTH_FAILED),
    Fact(
        "documented",
        "the reason of the service is its revision",
        of("failed", "terminal_condition.reason"),
        run_v2.Condition.CommonReason.REVISION_FAILED,
    ),
    Fact(
        "documented",
        "the latest created revision is the failed one",
        of("failed", "latest_created_revision"),
        f"{NAME}/revisions/backend-broken",
    ),
    Fact(
        "documented",
        "the latest ready one is the one before",
        of("failed", "latest_ready_revision"),
        of("mended", "latest_ready_revision"),
    ),
    Fact(
        "documented",
        "the revision says why",
        lambda s: s.revisions["broken"].conditions[0].revision_reason,
        run_v2.Condition.RevisionReason.HEALTH_CHECK_CONTAINER_ERROR,
    ),
    Fact("reported", "a later update fails for it again", lambda s: s.operations["poisoned"].error.code, 9),
    Fact("assumed", "traffic that is taken back moves", split("taken back"), lambda s: [(s.stable, 100, "")]),
    Fact(
        "assumed",
        "and the service is not ready until a revision starts",
        conditions("taken back"),
        CONFIGURATION_FAILED,
    ),
)

REVISIONS = (
    Fact(
        "documented",
        "a revision names its service by its short name",
        lambda s: s.revisions["candidate"].service,
        "backend",
    ),
    Fact(
        "documented",
        "it has its template's container",
        lambda s: s.revisions["candidate"].containers[0].image,
        "shop/backend:2",
    ),
    Fact(
        "documented",
        "it has one generation, observed",
        lambda s: (s.revisions["candidate"].generation, s.revisions["candidate"].observed_generation),
        (1, 1),
    ),
    Fact(
        "assumed",
        "it has one condition, Ready",
        lambda s: [(each.type_, each.state.name) for each in s.revisions["candidate"].conditions],
        [("Ready", "CONDITION_SUCCEEDED")],
    ),
    Fact(
        "assumed",
        "revisions are listed newest first, two on a page",
        lambda s: [len(page) for page in s.pages["revisions"]],
        [2, 2, 1],
    ),
    Fact(
        "assumed",
        "the oldest one is the last of the last page",
        lambda s: s.pages["revisions"][-1][-1],
        lambda s: s.stable,
    ),
    Fact("documented", "services are paged too", lambda s: s.pages["services"], [["backend"], ["marketing"]]),
)

VALIDATION = (
    Fact(
        "documented",
        "validate_only answers what would be",
        lambda s: service_in(s.operations["validated"].response).description,
        "only an idea",
    ),
    Fact(
        "documented",
        "and stores nothing, of an update or a deletion",
        lambda s: s.at["validated"],
        lambda s: s.at["newest"],
    ),
    Fact(
        "assumed",
        "no refused request leaves a trace",
        lambda s: s.at["after refusals"],
        lambda s: s.at["before refusals"],
    ),
)

PROFILES = (
    Fact(
        "assumed",
        "a stale etag",
        lambda s: became(s, "stale etag"),
        lambda s: "Aborted" if s.etag == "enforce" else STORED,
    ),
    Fact("documented", "no etag", lambda s: became(s, "no etag"), STORED),
    Fact("documented", "the present etag", lambda s: became(s, "present etag"), STORED),
    Fact(
        "assumed",
        "an update during another one",
        lambda s: became(s, "during another update"),
        lambda s: "Aborted" if s.inflight == "abort" else STORED,
    ),
    Fact(
        "reported",
        "a conflict is worded so (reported of v1) and has a reason",
        lambda s: [
            (
                fullmatch(
                    r"Conflict for resource 'backend': version '\d+' was specified but current version is '\d+'\.",
                    each.message,
                )
                is not None,
                each.reason,
            )
            for what in ("stale etag", "during another update")
            if isinstance(each := s.refused[what], Refused)
        ],
        lambda s: [(True, "CONFLICT")] * ((s.etag == "enforce") + (s.inflight == "abort")),
    ),
    Fact(
        "assumed",
        "the last accepted description stays",
        of("overtaken", "description"),
        lambda s: "under way" if s.inflight == "abort" else "overtaking",
    ),
)

CHANGES = (*OPERATIONS, *TRAFFIC, *BROKEN, *REVISIONS, *VALIDATION, *PROFILES)
