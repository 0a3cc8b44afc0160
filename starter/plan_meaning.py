"""What no plan can mean although its form is right: an audience of nobody, a metric type `-3%`, a gate called `drift`.

Asked of files alone, as a person hands one in. The model goes on reading whatever it once took, for rollouts that run
carry their plans with them, and commands of an emergency must not stumble over a plan's file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from rollout.drift import DRIFT, TAKEN_BACK
from rollout.exposure import BASIS_POINTS, FULL, OFF
from rollout.gates import Gate, ProbeGate, ThresholdGate
from rollout.measurement import BadLabel, GroupsByLabel, Metric
from rollout.plan import RolloutPlan
from rollout.plan_parts import AttestCheck, AudienceSpec, HttpCheck, LoadTestCheck, Service, Stage
from rollout.plan_rules import Broken, Place
from rollout.quantity import format_duration, format_share
from rollout.switch_off import SWITCHED_OFF

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+(-[a-z]+)+[0-9]{1,2}")
_METRIC_TYPE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9_.,:+!*'()%-]+)+")
_LABEL = re.compile(r'(metric|resource|metadata)(\.([A-Za-z0-9_-]+|"[^"\s]+"))+')
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Characters that nobody sees, or that turn the text around them; not those that join letters, or parts of a sign."""
_OWN_JUDGEMENTS = (DRIFT, TAKEN_BACK, SWITCHED_OFF)
_OWN_EXPOSURES = (OFF, "full")
LONGEST_TEXT = 500
LONGEST_DOMAIN, LONGEST_DOMAIN_LABEL = 253, 63
MOST_USERS, LARGEST_SAMPLE = 10**10, 10**9
LARGEST_INCREASE = 10.0
LONGEST_INTERVAL, SHORTEST_INTERVAL = timedelta(hours=1), timedelta(milliseconds=100)
LATEST_DATA, LONGEST_BASELINE = timedelta(hours=24), timedelta(days=42)


def meaningless(plan: RolloutPlan) -> Iterator[Broken]:
    """Every value that cannot be meant, as a place and what is allowed there."""
    yield from _text(("description",), plan.description.replace("\n", " "))
    yield from _times(plan)
    if plan.users is not None and plan.users > MOST_USERS:
        yield ("users",), f"must be at most {MOST_USERS:,} people"
    yield from _keys(("services",), plan.services)
    for key, service in plan.services.items():
        yield from _service(("services", key), service)
    yield from _keys(("audiences",), plan.audiences, taken=_OWN_EXPOSURES)
    for key, audience in plan.audiences.items():
        yield from _audience(("audiences", key), audience)
    yield from _keys(("metrics",), plan.metrics)
    for key, metric in plan.metrics.items():
        yield from _metric(("metrics", key), metric)
    yield from _keys(("gates",), plan.gates, taken=_OWN_JUDGEMENTS)
    for key, gate in plan.gates.items():
        yield from _gate(plan, ("gates", key), gate)
    for index, stage in enumerate(plan.stages):
        yield from _stage(("stages", index), stage)
    if plan.windows is not None:
        yield from _twice(("windows", "weekdays"), plan.windows.weekdays)
        if not plan.windows.hours.isascii():
            yield ("windows", "hours"), "must be written with the digits 0 to 9, such as 09:00-16:00"
        for index, freeze in enumerate(plan.windows.freezes):
            yield from _text(("windows", "freezes", index, "why"), freeze.why)
    yield from _twice(("notifications", "channels"), plan.notifications.channels)


def whole_numbers(plan: RolloutPlan) -> Iterator[Place]:
    """Where a plan holds a whole number, which YAML's true and false would pass for."""
    yield ("users",)
    for name in plan.gates:
        yield ("gates", name, "minimum_sample")
    for index, stage in enumerate(plan.stages):
        for where, check in stage.checks.placed():
            if isinstance(check, LoadTestCheck):
                yield ("stages", index, *where, "concurrent_users")
                yield ("stages", index, *where, "max_lost_events")


def _text(place: Place, text: str) -> Iterator[Broken]:
    if not text.strip():
        yield place, "must say something: there is nothing but blanks"
    if _UNSEEN.search(text.strip()):
        yield place, "must be one line of text, without characters that nobody sees"
    if len(text) > LONGEST_TEXT:
        yield place, f"must be at most {LONGEST_TEXT} characters; it has {len(text):,}"


def _keys(place: Place, named: Mapping[str, object], taken: Sequence[str] = ()) -> Iterator[Broken]:
    for key in named:
        if not _KEY.fullmatch(key):
            yield (
                (*place, key),
                f"{key!r} is no name: letters, digits, `_`, `.` and `-`, the first a letter, at most 63",
            )
        if key in taken:
            yield (*place, key), f"{key!r} has a meaning of its own; choose another name"


def _twice(place: Place, entries: Sequence[str]) -> Iterator[Broken]:
    for index, entry in enumerate(entries):
        if entry in entries[:index]:
            yield (*place, index), f"{entry!r} stands twice"


def _times(plan: RolloutPlan) -> Iterator[Broken]:
    if not SHORTEST_INTERVAL <= plan.check_interval <= LONGEST_INTERVAL:
        yield (
            ("check_interval",),
            f"must be from {format_duration(SHORTEST_INTERVAL)} to {format_duration(LONGEST_INTERVAL)}",
        )
    if not plan.check_interval <= plan.baseline.window <= LONGEST_BASELINE:
        yield ("baseline", "window"), f"must be from one check interval to {LONGEST_BASELINE.days}d"
    if not plan.guard:
        yield ("guard",), "must be longer than nothing: late writes would be undone by nobody"
    if plan.watch is not None and not plan.watch:
        yield ("watch",), "must be longer than nothing; without the field nothing is watched"


def _service(place: Place, service: Service) -> Iterator[Broken]:
    yield from _project((*place, "project"), service.project)
    if not _REGION.fullmatch(service.region):
        yield (*place, "region"), "must be the name of a region, such as us-central1"
    if service.image is not None and (not service.image or re.search(r"\s", service.image)):
        yield (
            (*place, "image"),
            "must be an image's address without blanks, such as europe-docker.pkg.dev/shop/app@sha256:…",
        )


def _project(place: Place, project: str) -> Iterator[Broken]:
    if not _PROJECT.fullmatch(project):
        yield place, "must be a project's id: 6 to 30 lower-case letters, digits and hyphens, such as example-shop"


def _audience(place: Place, audience: AudienceSpec) -> Iterator[Broken]:
    if not (audience.email_domains or audience.user_ids):
        yield place, "names nobody: give it `email_domains` or `user_ids`"
    for index, domain in enumerate(audience.email_domains):
        if not _is_domain(domain):
            yield (*place, "email_domains", index), f"{domain!r} is no domain such as example.com"
    for index, user in enumerate(audience.user_ids):
        if user != user.strip() or not user or _UNSEEN.search(user):
            yield (*place, "user_ids", index), "must be a user's id: not empty, without blanks around it"
    yield from _twice((*place, "email_domains"), audience.email_domains)
    yield from _twice((*place, "user_ids"), audience.user_ids)


def _is_domain(domain: str) -> bool:
    labels = domain.split(".")
    return (
        len(domain) <= LONGEST_DOMAIN
        and all(0 < len(label) <= LONGEST_DOMAIN_LABEL and label.replace("-", "a").isalnum() for label in labels)
        and not any(label.startswith("-") or label.endswith("-") for label in labels)
        and not labels[-1].isdigit()
    )


def _metric(place: Place, metric: Metric) -> Iterator[Broken]:
    if not _METRIC_TYPE.fullmatch(metric.type):
        yield (*place, "type"), "must be a metric type of Cloud Monitoring, such as run.googleapis.com/request_count"
    if metric.project is not None:
        yield from _project((*place, "project"), metric.project)
    if metric.ingest_delay is not None and metric.ingest_delay > LATEST_DATA:
        yield (*place, "ingest_delay"), f"must be at most {format_duration(LATEST_DATA)}"
    yield from _labels(place, metric)


def _labels(place: Place, metric: Metric) -> Iterator[Broken]:
    for field, labelled in (("bad", metric.bad), ("groups", metric.groups)):
        if labelled is not None and not _LABEL.fullmatch(labelled.label):
            yield (
                (*place, field, "label"),
                "must be a label such as metric.labels.group or resource.labels.revision_name",
            )
    if isinstance(metric.bad, BadLabel):
        yield from _twice((*place, "bad", "values"), metric.bad.values)
        for index, value in enumerate(metric.bad.values):
            yield from _label_value((*place, "bad", "values", index), value)
    if isinstance(metric.groups, GroupsByLabel):
        if metric.groups.treated == metric.groups.control:
            yield (*place, "groups", "control"), "is the value of treated users too: nobody is told apart"
        yield from _label_value((*place, "groups", "treated"), metric.groups.treated)
        yield from _label_value((*place, "groups", "control"), metric.groups.control)


def _label_value(place: Place, value: str) -> Iterator[Broken]:
    if not value.strip():
        yield place, "must not be empty: a value of the label"


def _gate(plan: RolloutPlan, place: Place, gate: Gate) -> Iterator[Broken]:
    yield from _text((*place, "title"), gate.title)
    if not gate.page_after:
        yield (*place, "page_after"), "must be longer than nothing"
    if getattr(gate, "minimum_sample", 0) > LARGEST_SAMPLE:
        yield (*place, "minimum_sample"), f"must be at most {LARGEST_SAMPLE:,}: no window would ever hold more"
    statistic, metric = getattr(gate, "statistic", ""), plan.metrics.get(getattr(gate, "metric", ""))
    if statistic in ("bad_share", "good_share") and metric is not None and metric.bad is None:
        problem = f"{statistic} of a metric without `bad` never changes: say in the metric which part of it is bad"
        yield (*place, "statistic"), problem
    if (getattr(gate, "max_difference", None) or 0.0) >= FULL:
        yield (*place, "max_difference"), "must be below 100%: two shares never differ by more"
    if (getattr(gate, "max_increase", None) or 0.0) > LARGEST_INCREASE:
        yield (*place, "max_increase"), f"must be at most {format_share(LARGEST_INCREASE)}"
    if isinstance(gate, ThresholdGate):
        yield from _threshold(place, gate)
    if isinstance(gate, ProbeGate):
        yield from _path((*place, "path"), gate.path)
        if gate.field is not None and not gate.field.strip():
            yield (*place, "field"), "must not be empty: the name of a number in the answer"


def _threshold(place: Place, gate: ThresholdGate) -> Iterator[Broken]:
    """Limits that every value keeps, and such as no value does."""
    share, time = gate.limit.unit == "share", gate.limit.unit == "ms"
    if share and gate.at_most is not None and gate.at_most.value >= FULL:
        yield (*place, "at_most"), "must be below 100%: every share is at most that"
    if share and gate.at_least is not None and gate.at_least.value <= 0:
        yield (*place, "at_least"), "must be above 0%: every share is at least that"
    if share and gate.below is not None and gate.below.value <= 0:
        yield (*place, "below"), "must be above 0%: no share is below it"
    if time and gate.limit.value <= 0 and gate.at_least is None:
        yield (*place, "at_most" if gate.at_most is not None else "below"), "must be longer than nothing"


def _path(place: Place, path: str) -> Iterator[Broken]:
    if not re.fullmatch(r"/[!-~]*", path):
        yield place, "must be a path that begins with / and has no blanks"


def _stage(place: Place, stage: Stage) -> Iterator[Broken]:
    if stage.name == OFF:
        yield (*place, "name"), "`off` has a meaning of its own: no flag could be set to this stage by hand"
    if not stage.exposure:
        yield (*place, "exposure"), "names no flag; for nobody write off"
    for flag, exposure in stage.exposure.items():
        if isinstance(exposure, float) and not round(exposure * BASIS_POINTS, 6).is_integer():
            where = (*place, "exposure") if flag == "*" else (*place, "exposure", flag)
            yield where, "a percentage of users has at most two decimals: 0.01% is the least"
    if stage.traffic_hold is not None and not stage.traffic_hold and len(stage.steps) > 1:
        steps = ", ".join(f"{percent} %" for percent in stage.steps[:-1])
        yield (
            (*place, "traffic_hold"),
            f"must be longer than nothing: nothing would be judged at {steps}; leave out the shares that are not held",
        )
    yield from _twice((*place, "gates"), stage.gates)
    for where, check in stage.checks.placed():
        if isinstance(check, HttpCheck):
            yield from _path((*place, *where, "path"), check.path)
        if isinstance(check, AttestCheck):
            yield from _text((*place, *where, "statement"), check.statement)
