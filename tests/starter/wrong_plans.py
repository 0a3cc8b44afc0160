"""Changes that break the small plan, each with every message that it must be refused with."""

from pathlib import Path
from typing import NamedTuple

import pytest

from starter.plan_file import PlanRefused, parse_plan

SMALL_PLAN = Path(__file__).with_name("small_plan.yaml")


class Wrong(NamedTuple):
    """A change that breaks the small plan, and every message it must be refused with."""

    instead_of: str
    written: str
    messages: list[str]


WRONG_PLANS = {
    "a duration without its unit": Wrong(
        "guard: 5m",
        "guard: 5",
        ["16: guard: a duration is a number with a unit: 500ms, 90s, 15m, 48h, 7d (given: 5)"],
    ),
    "a misspelt field": Wrong(
        "    soak: 1h\n    gates: [errors]",
        "    sokk: 1h\n    gates: [errors]",
        [
            "58: stages[staff].soak: is missing: for example 60s or 48h",
            (
                "60: stages[staff].sokk: unknown field; did you mean 'soak'?; allowed here: name, deploy, traffic, "
                "traffic_hold, exposure, soak, accelerate, gates, checks, approval"
            ),
        ],
    ),
    "a misspelt field inside a kind of gate": Wrong(
        "    max_difference: 1%",
        "    max_diference: 1%",
        [
            (
                "38: gates.errors.max_diference: unknown field; did you mean 'max_difference'?; allowed here: "
                "title, action, page_after, switch_off, metric, statistic, group, window, minimum_sample, "
                "max_difference, max_increase, kind"
            ),
        ],
    ),
    "a dead-man without patience": Wrong(
        "guard: 5m",
        "guard: 5m\ndeadman: {page_after: 2s, flags_off_after: 1s}",
        [
            "17: deadman.page_after: must be at least 3 check intervals (3m) (given: '2s')",
            (
                "17: deadman.flags_off_after: must be longer than `page_after`: a person may still prevent it "
                "(given: '1s')"
            ),
        ],
    ),
    "a time zone that is none": Wrong(
        "guard: 5m",
        "guard: 5m\nwindows: {time_zone: Europe/Berln}",
        [
            (
                "17: windows.time_zone: is no time zone; names are such as UTC, Europe/Berlin or America/New_York; "
                "did you mean 'Europe/Berlin'? (given: 'Europe/Berln')"
            ),
        ],
    ),
    "windows that nobody can read": Wrong(
        "guard: 5m",
        "guard: 5m\nwindows: {time_zone: UTC, weekdays: [monday], hours: 9-17}",
        [
            (
                "17: windows.weekdays[1]: must be one of: mon, tue, wed, thu, fri, sat, sun; did you mean 'mon'? "
                "(given: 'monday')"
            ),
            "17: windows.hours: must be hours such as 09:00-16:00 or 22:00-04:00 (given: '9-17')",
        ],
    ),
    "a missing block": Wrong("notifications:\n  channels: [log]\n", "", ["1: notifications: is missing: a mapping"]),
    "an unknown kind of gate": Wrong(
        "    kind: versus_control",
        "    kind: verses_control",
        [
            (
                "33: gates.errors.kind: must be one of: absence, probe, threshold, versus_baseline, versus_control, "
                "zero_tolerance; did you mean 'versus_control'? (given: 'verses_control')"
            ),
        ],
    ),
    "a gate without a kind": Wrong(
        "    kind: probe\n",
        "",
        [
            (
                "43: gates.health.kind: is missing; one of: absence, probe, threshold, versus_baseline, "
                "versus_control, zero_tolerance"
            ),
        ],
    ),
    "an unknown action": Wrong(
        "    action: rollback",
        "    action: rolback",
        [
            (
                "41: gates.errors.action: must be one of: rollback, step_back, hold, warn; did you mean 'rollback'? "
                "(given: 'rolback')"
            ),
        ],
    ),
    "a share without its percent sign": Wrong(
        "    max_difference: 1%",
        "    max_difference: 0.01",
        ["38: gates.errors.max_difference: a share is written with its percent sign: 10%, 99.5% (given: 0.01)"],
    ),
    "a comparison that fits no statistic": Wrong(
        "    max_difference: 1%",
        "    max_increase: 10%",
        [
            "32: gates.errors: bad_share is compared by `max_difference` (points), all else by `max_increase`",
        ],
    ),
    "a sample of nothing": Wrong(
        "    minimum_sample: 100",
        "    minimum_sample: 0",
        ["40: gates.errors.minimum_sample: must be at least 1 (given: 0)"],
    ),
    "a number in words": Wrong(
        "    minimum_sample: 100",
        "    minimum_sample: many",
        ["40: gates.errors.minimum_sample: must be a whole number (given: 'many')"],
    ),
    "a gate that nobody defined": Wrong(
        "    gates: [errors]",
        "    gates: [erors]",
        ["61: stages[staff].gates[1]: gate 'erors' is not defined; defined are: errors, health"],
    ),
    "a metric that nobody defined": Wrong(
        "    metric: requests",
        "    metric: request",
        ["35: gates.errors.metric: metric 'request' is not defined; defined are: requests"],
    ),
    "a list that is none": Wrong(
        "    gates: [errors]",
        "    gates: errors",
        ["61: stages[staff].gates: must be a list, such as [a, b] (given: 'errors')"],
    ),
    "a stage without gates": Wrong(
        "    gates: [errors]", "    gates: []", ["61: stages[staff].gates: needs at least 1 entry"]
    ),
    "an audience that nobody defined": Wrong(
        "    exposure: staff",
        "    exposure: stuff",
        [
            (
                "59: stages[staff].exposure: 'stuff' is neither off, full, a percentage such as 10% nor an audience "
                "(staff)"
            ),
        ],
    ),
    "an exposure that could mean anything": Wrong(
        "    exposure: staff",
        "    exposure: 10",
        [
            (
                "59: stages[staff].exposure: an exposure is off, an audience's name, a percentage such as 10%, or full "
                "(given: 10)"
            ),
        ],
    ),
    "an exposure of a flag that nobody named": Wrong(
        "    exposure: full",
        "    exposure: {new_basket: full, newbasket: full}",
        ["63: stages[everybody].exposure.newbasket: flag 'newbasket' is not one of: new_basket (given: 'full')"],
    ),
    "an exposure that falls": Wrong(
        "    exposure: full",
        "    exposure: off",
        [
            "63: stages[everybody].exposure: exposure of new_basket falls; it rises from stage to stage (given: 'off')",
        ],
    ),
    "control users where everybody is treated": Wrong(
        "    soak: 1h\n    gates: [health]\n    checks:",
        "    soak: 1h\n    gates: [health, errors]\n    checks:",
        [
            (
                "65: stages[everybody].gates[2]: gate 'errors' compares with control, which needs an exposure between "
                "off and full"
            ),
        ],
    ),
    "traffic in parts of a percent": Wrong(
        "    traffic: [0%, 100%]",
        "    traffic: [0%, 0.5%, 100%]",
        ["53: stages[dark].traffic: Cloud Run splits traffic by whole percents from 0% to 100%"],
    ),
    "traffic before the candidate is deployed": Wrong(
        "    traffic: [0%, 100%]",
        "    traffic: [10%, 100%]",
        ["53: stages[dark].traffic: the first stage's traffic begins at 0%: deployed and tested before it serves"],
    ),
    "a soak that nothing can be measured in": Wrong(
        "    soak: 1h\n    gates: [errors]",
        "    soak: 30s\n    gates: [errors]",
        ["60: stages[staff].soak: a soak is longer than check interval plus metric delay (60s) (given: '30s')"],
    ),
    "two stages of one name": Wrong(
        "  - name: everybody",
        "  - name: staff",
        ["62: stages[staff].name: stage 'staff' stands twice; stage names are unique"],
    ),
    "a name that Temporal and Redis keys could not carry": Wrong(
        "name: small",
        "name: Small Plan",
        [
            (
                "1: name: must be 2 to 40 lower-case letters, digits and hyphens, beginning with a letter "
                "(given: 'Small Plan')"
            ),
        ],
    ),
    "an e-mail address as a domain": Wrong(
        "    email_domains: [example.com]",
        "    email_domains: ['@example.com']",
        ["12: audiences.staff.email_domains: '@example.com' is not a plain lower-case domain such as example.com"],
    ),
    "a channel that nobody wired": Wrong(
        "  channels: [log]",
        "  channels: [slack]",
        ["18: notifications.channels: 'slack' is not a channel; known are: log"],
    ),
    "a check of a service that nobody named": Wrong(
        "          service: shop",
        "          service: ship",
        ["69: stages[everybody].checks.after[1].service: service 'ship' is not defined; defined are: shop"],
    ),
    "flags turned off by a gate that only warns, and twice, and of another plan": Wrong(
        "    action: rollback\n",
        "    action: warn\n    switch_off: {silent: [new_basket, new_basket, old_basket]}\n",
        [
            (
                "42: gates.errors.switch_off: a gate that only warns turns nothing off: its `action` is hold, "
                "step_back or rollback"
            ),
            "42: gates.errors.switch_off.silent[2]: flag 'new_basket' stands twice",
            "42: gates.errors.switch_off.silent[3]: flag 'old_basket' is not one of: new_basket",
            "62: stages[staff].gates: a stage needs a gate that can stop it: every one here only warns",
        ],
    ),
    "a flag turned off beside a rollback": Wrong(
        "    action: rollback\n",
        "    action: rollback\n    switch_off: {failing: [new_basket]}\n",
        [
            (
                "42: gates.errors.switch_off.failing: a failure takes everything back (rollback); beside single flags "
                "it is `hold`"
            ),
        ],
    ),
    "a flag turned off by the silence of an endpoint": Wrong(
        "    action: hold\n",
        "    action: hold\n    switch_off: {silent: [new_basket]}\n",
        ["49: gates.health.switch_off.silent: probe is never silent: a metric is, of another kind of gate"],
    ),
    "no flag turned off": Wrong(
        "    action: hold\n",
        "    action: hold\n    switch_off: {}\n",
        [
            (
                "49: gates.health.switch_off: names no flag: say which to turn off when the gate is `silent`, or "
                "`failing`"
            ),
        ],
    ),
    "a block without content": Wrong(
        "  staff:\n    email_domains: [example.com]\n",
        "  staff:\n",
        ["11: audiences.staff: must be a mapping of fields to values (given: nothing)"],
    ),
    "a duplicate key": Wrong("guard: 5m", "guard: 5m\nguard: 6m", ["17: key 'guard' stands twice, first on line 16"]),
    "not YAML": Wrong(
        "flags: [new_basket]",
        "flags: [new_basket",
        ["10: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"],
    ),
}


def small_plan() -> str:
    return SMALL_PLAN.read_text()


def messages(text: str) -> list[str]:
    with pytest.raises(PlanRefused) as refused:
        parse_plan(text.encode(), "plan.yaml")
    return [line.removeprefix("plan.yaml:") for line in str(refused.value).splitlines()]
