"""What nobody can mean is refused where a plan's file is read, and nowhere else: rollouts that run keep their plans."""

from pathlib import Path
from typing import NamedTuple

import pytest

from rollout.measurement import GroupsByLabel
from rollout.plan import RolloutPlan
from starter.plan_file import PlanRefused, group_and_environment, parse_plan
from starter.yaml_document import read_document
from tests.starter.command_line import rollout
from tests.starter.wrong_plans import messages, small_plan


class Odd(NamedTuple):
    """A change of the small plan whose form is right, and what it is refused with."""

    instead_of: str
    written: str
    message: str


SAID = "description: The smallest plan with a flag and a control group"
STAFF = "  staff:\n    email_domains: [example.com]"
TYPE = "type: run.googleapis.com/request_count"
GATE = """\
  slow:
    kind: threshold
    title: Slow
    metric: requests
    statistic: {}
    group: all
    {}
    window: 5m
    minimum_sample: 100
    action: hold
    page_after: 10m
  health:
    kind: probe"""
NAMED_DRIFT = """\
  drift: {kind: probe, title: Drift, service: shop, path: /, action: hold, page_after: 10m}
  health:
    kind: probe"""
HEALTH = "  health:\n    kind: probe"

ODD = {
    "a description of blanks": Odd(
        SAID, "description: '   '", "2: description: must say something: there is nothing but blanks (given: '   ')"
    ),
    "a description that turns the text around it": Odd(
        SAID, 'description: "a \\u202e b"', "without characters that nobody sees"
    ),
    "a novel": Odd(SAID, f"description: {'x' * 501}", "2: description: must be at most 500 characters; it has 501"),
    "an audience by no name": Odd(STAFF, f"{STAFF}\n  'a b': {{user_ids: [kim]}}", "'a b' is no name: letters"),
    "a project of signs": Odd("project: example-shop", "project: '!!!!!!'", "6: services.shop.project: must be a proj"),
    "a region of a percentage": Odd("region: europe-west1", "region: 10%", "7: services.shop.region: must be the nam"),
    "an image of nothing": Odd("service: shop\nflags", "service: shop\n    image: ''\nflags", "must be an image's"),
    "true for a number of people": Odd("guard: 5m", "guard: 5m\nusers: true", "17: users: must be a whole number (giv"),
    "more people than there are": Odd("guard: 5m", "guard: 5m\nusers: 10000000001", "must be at most 10,000,000,000"),
    "an audience of nobody": Odd(
        STAFF, "  staff: {}", "11: audiences.staff: names nobody: give it `email_domains` or `user_ids`"
    ),
    "an audience called off": Odd(STAFF, f"{STAFF}\n  off: {{user_ids: [kim]}}", "'off' has a meaning of its own"),
    "a domain that leads up": Odd("[example.com]", "['../..']", "'../..' is no domain such as example.com"),
    "a domain with an empty part": Odd("[example.com]", "[example..com]", "is no domain such as example.com"),
    "a domain of an address": Odd("[example.com]", "[10.0.0.1]", "'10.0.0.1' is no domain such as example.com"),
    "a domain twice": Odd("[example.com]", "[example.com, example.com]", "'example.com' stands twice"),
    "a user of nothing": Odd("[example.com]", "[example.com]\n    user_ids: ['']", "must be a user's id: not empty"),
    "a metric type of a percentage": Odd(
        TYPE,
        "type: -3%",
        "21: metrics.requests.type: must be a metric type of Cloud Monitoring, such as run.googleapis",
    ),
    "a label of nothing": Odd("label: metric.labels.group", "label: ''", "must be a label such as metric.labels.group"),
    "groups that are one": Odd("control: control", "control: treated", "is the value of treated users too"),
    "a bad value of nothing": Odd("[5xx]", "['']", "must not be empty: a value of the label"),
    "a gate called drift": Odd(HEALTH, NAMED_DRIFT, "'drift' has a meaning of its own; choose another name"),
    "nobody is ever paged": Odd(
        "action: hold\n    page_after: 10m", "action: hold\n    page_after: 0s", "longer than no"
    ),
    "true for a sample": Odd("minimum_sample: 100", "minimum_sample: true", "minimum_sample: must be a whole number"),
    "a sample of everything": Odd(
        "minimum_sample: 100", "minimum_sample: 10000000000", "must be at most 1,000,000,000"
    ),
    "a share of what has no bad part": Odd(
        "    bad:\n      label: metric.labels.response_code_class\n      values: [5xx]\n",
        "",
        "bad_share of a metric without `bad` never changes",
    ),
    "a difference that cannot be": Odd("max_difference: 1%", "max_difference: 100%", "must be below 100%: two shares"),
    "a limit that every share keeps": Odd(
        HEALTH, GATE.format("bad_share", "at_most: 100%"), "must be below 100%: every share is at most that"
    ),
    "a limit that no share keeps": Odd(
        HEALTH, GATE.format("bad_share", "below: 0%"), "must be above 0%: no share is below it"
    ),
    "another limit that every share keeps": Odd(
        HEALTH, GATE.format("good_share", "at_least: 0%"), "must be above 0%: every share is at least that"
    ),
    "an endpoint with a blank": Odd("path: /health\n    action", "path: / health\n    action", "and has no blanks"),
    "a stage called off": Odd("name: everybody", "name: off", "`off` has a meaning of its own"),
    "an exposure of no flag": Odd("exposure: off", "exposure: {}", "names no flag; for nobody write off"),
    "a percentage of nobody": Odd("exposure: full", "exposure: 0.001%", "has at most two decimals: 0.01% is the least"),
    "a gate twice in a stage": Odd("gates: [errors]", "gates: [errors, errors]", "'errors' stands twice"),
    "a traffic step of no time": Odd(
        "traffic: [0%, 100%]\n    traffic_hold: 5m",
        "traffic: [0%, 10%, 50%, 100%]\n    traffic_hold: 0s",
        "must be longer than nothing: nothing would be judged at 10 %, 50 %; leave out the shares that are not held",
    ),
    "digits of another script": Odd("guard: 5m", "guard: \u0665m", "a duration is a number with a unit"),
    "a channel twice": Odd("channels: [log]", "channels: [log, log]", "'log' stands twice"),
    "no guard": Odd("guard: 5m", "guard: 0s", "must be longer than nothing: late writes would be undone by nobody"),
    "a watch of no time": Odd("guard: 5m", "guard: 5m\nwatch: 0s", "without the field nothing is watched"),
    "a look each millisecond": Odd("check_interval: 60s", "check_interval: 1ms", "must be from 100ms to 1h"),
    "a baseline of less than a look": Odd(
        "window: 1h\nguard", "window: 1s\nguard", "must be from one check interval to"
    ),
    "a baseline of years": Odd("window: 1h\nguard", "window: 365d\nguard", "must be from one check interval to 42d"),
    "a day twice": Odd(
        "guard: 5m",
        "guard: 5m\nwindows: {time_zone: UTC, weekdays: [mon, mon]}",
        "17: windows.weekdays[2]: 'mon' stands",
    ),
    "a statement of blanks": Odd(
        "      after:\n", "      before: [{kind: attest, statement: ' '}]\n      after:\n", "must say something"
    ),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_nobody_can_mean_is_refused_with_line_field_value_and_what_is_allowed(odd: Odd) -> None:
    assert small_plan().count(odd.instead_of) == 1

    found = messages(small_plan().replace(odd.instead_of, odd.written))

    assert len(found) == 1, found
    assert odd.message in found[0]


@pytest.mark.parametrize("hold", ["", "    traffic_hold: 0s\n"], ids=["left out", "none"])
def test_where_traffic_rises_once_there_is_no_step_to_hold(hold: str) -> None:
    text = small_plan()
    assert "    traffic_hold: 5m\n" in text

    plan = parse_plan(text.replace("    traffic_hold: 5m\n", hold).encode(), "plan.yaml")

    assert plan.stages[0].steps == (100,)


def test_data_that_come_later_than_cloud_monitoring_takes_them_are_no_data() -> None:
    late = small_plan().replace("soak: 1h", "soak: 30d").replace("value: count", "value: count\n    ingest_delay: 7d")

    assert messages(late) == ["23: metrics.requests.ingest_delay: must be at most 24h (given: '7d')"]


@pytest.mark.parametrize("domain", ["example.com", "xn--bcher-kva.example", "bücher.example", "a.b-c.d1.museum"])
def test_domains_of_every_sort_are_taken(domain: str) -> None:
    plan = parse_plan(small_plan().replace("example.com", domain).encode(), "plan.yaml")

    assert plan.audiences["staff"].email_domains == (domain,)


@pytest.mark.parametrize(
    "metric",
    [
        "prometheus.googleapis.com/http_requests:rate/counter",
        "logging.googleapis.com/user/my-metric%2Fof",
        "workload.googleapis.com/a.b_c",
        "kubernetes.io/container/cpu/core_usage_time",
        "logging.googleapis.com/user/errors,of(a)!'+*",
    ],
)
def test_metric_types_of_every_source_are_taken(metric: str) -> None:
    plan = parse_plan(small_plan().replace("run.googleapis.com/request_count", metric).encode(), "plan.yaml")

    assert plan.metrics["requests"].type == metric


def test_a_description_may_have_several_lines_and_letters_that_are_joined() -> None:
    said = "Isolation for \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645,\nby the \U0001f469\u200d\U0001f52c team.\n"
    written = f"description: |\n  {said.rstrip().replace(chr(10), chr(10) + '  ')}"

    assert parse_plan(small_plan().replace(SAID, written).encode(), "plan.yaml").description == said


@pytest.mark.parametrize("label", ['metadata.user_labels."app/name"', "metadata.system_labels.region"])
def test_labels_of_every_source_are_taken(label: str) -> None:
    plan = parse_plan(small_plan().replace("metric.labels.group", f"'{label}'").encode(), "plan.yaml")

    assert isinstance(plan.metrics["requests"].groups, GroupsByLabel)
    assert plan.metrics["requests"].groups.label == label


def test_a_plan_that_a_rollout_carries_is_read_as_it_was_written() -> None:
    odd = small_plan().replace("[example.com]", "['../..']").replace("region: europe-west1", "region: moon")

    carried = RolloutPlan.model_validate(read_document(odd.encode()).plain())

    assert RolloutPlan.model_validate_json(carried.model_dump_json()) == carried
    with pytest.raises(PlanRefused):
        parse_plan(odd.encode(), "plan.yaml")


def test_an_emergency_by_a_plans_file_does_not_wait_for_the_file_to_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(small_plan().replace("[example.com]", "['../..']"))

    assert group_and_environment(str(path), None) == ("small", "test")


def test_the_command_line_says_it_and_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(small_plan().replace(TYPE, "type: -3%"))

    ended = rollout("plan", "validate", str(path))

    assert ended.code == 2
    assert f"{path}:21: metrics.requests.type: must be a metric type of Cloud Monitoring" in ended.err
