"""A service field by field: created, filled in, updated, deleted; see `conformance_facts.py`."""

from datetime import timedelta

from google.cloud import run_v2

from tests.sandbox.conformance_facts import (
    PLACE,
    READY,
    Fact,
    conditions,
    etag_formula,
    first_container,
    kind_and_message,
    later,
    matches,
    of,
    revision_in,
    split,
)
from tests.sandbox.google import CANDIDATE, NAME, PARENT, short, to_latest

State = run_v2.Condition.State
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"

CREATED = (
    Fact("recorded", "a new service has generation 1", of("created: accepted", "generation"), 1),
    Fact("recorded", "it has observed nothing", of("created: accepted", "observed_generation"), 0),
    Fact("recorded", "it is reconciling", of("created: accepted", "reconciling"), True),
    Fact(
        "recorded",
        "its terminal condition is pending and has no type yet",
        lambda story: (
            story.at["created: accepted"].terminal_condition.type_,
            story.at["created: accepted"].terminal_condition.state,
        ),
        ("", State.CONDITION_PENDING),
    ),
    Fact("recorded", "it has no conditions", conditions("created: accepted"), []),
    Fact("recorded", "it has no ingress yet", of("created: accepted", "ingress"), 0),
    Fact("recorded", "it has no statuses of traffic", split("created: accepted"), []),
    Fact("recorded", "it has no latest ready revision", of("created: accepted", "latest_ready_revision"), ""),
    Fact("recorded", "it has no latest created revision", of("created: accepted", "latest_created_revision"), ""),
    Fact("recorded", "it has no address", of("created: accepted", "uri"), ""),
    Fact("recorded", "done, its etag is what it was", of("created", "etag"), of("created: accepted", "etag")),
    Fact("recorded", "done, its update time too", of("created", "update_time"), of("created: accepted", "update_time")),
    Fact("recorded", "done, it has observed its generation", of("created", "observed_generation"), 1),
    Fact("recorded", "done, it is not reconciling", of("created", "reconciling"), False),
    Fact("recorded", "done, the terminal condition is Ready", of("created", "terminal_condition.type_"), "Ready"),
    Fact("recorded", "done, Ready has succeeded", of("created", "terminal_condition.state"), State.CONDITION_SUCCEEDED),
    Fact("recorded", "done, there are exactly two conditions, in this order", conditions("created"), READY),
    Fact(
        "recorded",
        "an automatic revision name counts in five digits and ends in three characters",
        matches(r"marketing-00001-[a-z0-9]{3}", lambda story: short(story.at["created"].latest_ready_revision)),
        True,
    ),
    Fact(
        "recorded",
        "latest revisions are full names",
        lambda story: story.at["created"].latest_created_revision.startswith(f"{PARENT}/services/marketing/revisions/"),
        True,
    ),
    Fact("recorded", "traffic that nobody gave is all for the latest", of("created", "traffic"), [to_latest(100)]),
    Fact(
        "recorded",
        "a status row for the latest names no revision",
        lambda story: [(row.type_.name, row.revision, row.percent) for row in story.at["created"].traffic_statuses],
        [(LATEST, "", 100)],
    ),
    Fact("recorded", "done, the ingress is all", of("created", "ingress"), 1),
    Fact("recorded", "done, its addresses hold its address", of("created", "urls"), lambda s: [s.at["created"].uri]),
)

DEFAULTS = (
    Fact("recorded", "requests time out after 300 s", of("created", "template.timeout"), timedelta(seconds=300)),
    Fact("recorded", "80 requests at a time", of("created", "template.max_instance_request_concurrency"), 80),
    Fact("recorded", "at most 100 instances", of("created", "template.scaling.max_instance_count"), 100),
    Fact(
        "recorded",
        "it runs as the project's compute account",
        matches(r"\d{12}-compute@developer\.gserviceaccount\.com", of("created", "template.service_account")),
        True,
    ),
    Fact(
        "recorded",
        "one CPU and 512 MiB",
        lambda story: dict(first_container("created")(story).resources.limits),
        {"cpu": "1000m", "memory": "512Mi"},
    ),
    Fact(
        "recorded", "idle CPU is taken away", lambda story: first_container("created")(story).resources.cpu_idle, True
    ),
    Fact(
        "recorded",
        "port 8080 of the name http1",
        lambda story: [(port.name, port.container_port) for port in first_container("created")(story).ports],
        [("http1", 8080)],
    ),
    Fact(
        "recorded",
        "a TCP startup probe of that port once in 240 s",
        lambda story: (
            (probe := first_container("created")(story).startup_probe).tcp_socket.port,
            probe.timeout_seconds,
            probe.period_seconds,
            probe.failure_threshold,
        ),
        (8080, 240, 240, 1),
    ),
)

UPDATED = (
    Fact(
        "recorded",
        "an accepted update has the next generation",
        of("deployed: accepted", "generation"),
        lambda story: story.at["before"].generation + 1,
    ),
    Fact(
        "recorded",
        "and has observed the one before",
        of("deployed: accepted", "observed_generation"),
        of("before", "generation"),
    ),
    Fact(
        "recorded",
        "GetService says the same at once",
        lambda s: s.at["while deploying"],
        lambda s: s.at["deployed: accepted"],
    ),
    Fact(
        "recorded",
        "the new template is visible at once",
        lambda s: first_container("deployed: accepted")(s).image,
        "shop/backend:2",
    ),
    Fact(
        "recorded",
        "the desired traffic too",
        split("deployed: accepted", "traffic"),
        lambda s: [(s.stable, 100, ""), (CANDIDATE, 0, "canary")],
    ),
    Fact(
        "recorded",
        "the terminal condition is pending with the time of before",
        lambda s: (
            (now := s.at["deployed: accepted"].terminal_condition).type_,
            now.state,
            now.last_transition_time,
        ),
        lambda s: ("Ready", State.CONDITION_PENDING, s.at["before"].terminal_condition.last_transition_time),
    ),
    Fact("recorded", "conditions are those of before", conditions("deployed: accepted"), conditions("before")),
    Fact(
        "recorded",
        "the latest revisions are those of before",
        lambda s: (
            s.at["deployed: accepted"].latest_ready_revision,
            s.at["deployed: accepted"].latest_created_revision,
        ),
        lambda s: (s.at["before"].latest_ready_revision, s.at["before"].latest_created_revision),
    ),
    Fact("recorded", "the observed traffic is that of before", split("deployed: accepted"), split("before")),
    Fact("recorded", "the update time is new", later("deployed: accepted", "before"), True),
    Fact("recorded", "the creation time is not", of("deployed: accepted", "create_time"), of("before", "create_time")),
    Fact("recorded", "nor is the unique id", of("deployed: accepted", "uid"), of("before", "uid")),
    Fact(
        "recorded",
        "done, etag and update time are those accepted",
        lambda s: (s.at["deployed"].etag, s.at["deployed"].update_time),
        lambda s: (s.at["deployed: accepted"].etag, s.at["deployed: accepted"].update_time),
    ),
    Fact(
        "recorded",
        "done, the generation is observed",
        of("deployed", "observed_generation"),
        of("deployed", "generation"),
    ),
    Fact("recorded", "done, both conditions have succeeded, in this order", conditions("deployed"), READY),
    Fact(
        "recorded",
        "done, the new revision is the latest created",
        of("deployed", "latest_created_revision"),
        f"{NAME}/revisions/{CANDIDATE}",
    ),
    Fact(
        "recorded",
        "done, and the latest ready",
        of("deployed", "latest_ready_revision"),
        f"{NAME}/revisions/{CANDIDATE}",
    ),
    Fact(
        "assumed",
        "every accepted update raises the generation, also one that changes nothing",
        lambda s: s.at["mended"].generation - s.at["before"].generation,
        5,
    ),
)

ETAGS = tuple(
    Fact("recorded", f"etag and name and time ({moment})", of(moment, "etag"), etag_formula(moment))
    for moment in ("created: accepted", "created", "before", "deployed: accepted", "shifted", "failed", "deleted")
)

DELETED = (
    Fact(
        "documented", "a deleted service is not listed", lambda s: s.pages["services after a deletion"], [["backend"]]
    ),
    Fact(
        "documented",
        "unless deleted ones are to be shown",
        lambda s: s.pages["services with deleted ones"],
        [["backend", "marketing"]],
    ),
    Fact(
        "recorded",
        "a deletion has the next generation",
        of("deleting", "generation"),
        lambda s: s.at["created"].generation + 1,
    ),
    Fact("recorded", "a service that is being deleted is reconciling", of("deleting", "reconciling"), True),
    Fact(
        "recorded",
        "it expires thirty days after its deletion",
        lambda s: s.at["deleting"].expire_time - s.at["deleting"].delete_time,
        timedelta(days=30),
    ),
    Fact(
        "recorded", "deleted, its etag has changed again", lambda s: s.at["deleted"].etag != s.at["deleting"].etag, True
    ),
    Fact("recorded", "deleted, its update time too", later("deleted", "deleting"), True),
    Fact(
        "documented",
        "a deleted revision is answered with the time of its deletion",
        lambda s: revision_in(s, "revision deleted").delete_time.seconds > 0,
        True,
    ),
    Fact(
        "assumed",
        "a deleted service is not there",
        lambda s: kind_and_message(s, "deleted service"),
        (
            "NotFound",
            f"Resource 'marketing' of kind 'SERVICE' in {PLACE} does not exist.",
        ),
    ),
    Fact(
        "assumed", "a deleted revision is not there", lambda s: kind_and_message(s, "deleted revision")[0], "NotFound"
    ),
)

SERVICES = (*CREATED, *DEFAULTS, *UPDATED, *ETAGS, *DELETED)
