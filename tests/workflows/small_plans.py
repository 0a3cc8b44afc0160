"""Plans that are alike but for their names: a service, a flag, three stages; all that one rollout of a test needs.

`dark` deploys, `canary` shows the flag to a tenth of the users, `staged` to half of them. Service, flag and metrics
carry the plan's name, so that no rollout is another one's business.
"""

from dataclasses import dataclass

from rollout.plan import RolloutPlan
from starter.plan_file import parse_plan

A_MOMENT, AN_HOUR = "2s", "1h"

_PLAN = """\
name: {name}
description: A service, a flag, three stages
environment: matrix
services:
  backend: {{project: example-shop, region: europe-west1, service: {name}}}
flags: ["{flag}"]
check_interval: 1s
baseline: {{window: 5s}}
guard: 1h
notifications: {{channels: [log]}}
metrics:
  cascades:
    type: custom.googleapis.com/{name}/cascade_failures
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: count
  smoke:
    type: custom.googleapis.com/{name}/smoke
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: count
  cpu:
    type: custom.googleapis.com/{name}/utilizations
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: distribution
gates:
  cascades: {{kind: zero_tolerance, title: Cascades, metric: cascades, group: all, action: rollback, page_after: 1h}}
  cpu: {{kind: versus_baseline, title: CPU, metric: cpu, statistic: mean, group: all, max_increase: 10%, window: 2s,
         minimum_sample: 1, action: hold, page_after: 1h}}
{windows}{watch}{deadman}
stages:
  - {{name: dark, deploy: true, traffic: [0%, 100%], traffic_hold: 1s, exposure: off, soak: 2s, gates: [cascades]}}
  - {{name: canary, exposure: 10%, soak: {canary_soak}, gates: [cascades, cpu],
     checks: {{after: [{check_after}]}}}}
  - {{name: staged, exposure: 50%, soak: {staged_soak}, gates: [cascades], approval: {approval},
     checks: {{before: [{check}]}}}}
"""

_FROZEN = """\
windows: {time_zone: UTC, freezes: [{first: "2000-01-01", last: "2100-01-01", why: nobody is here}]}
"""


@dataclass(frozen=True)
class Shape:
    """Where a rollout of the plan comes to stand by itself."""

    canary_soak: str = A_MOMENT
    staged_soak: str = AN_HOUR
    approval: bool = False
    check: str = ""
    check_after: str = ""
    frozen: bool = False
    watched: bool = False
    deadman: bool = False


SMOKE_TEST = "{kind: monitoring, metric: smoke}"
"""A check before `staged`; those of other kinds, there and after `canary`, are in `matrix_checks`."""

IN_CANARY = Shape(canary_soak=AN_HOUR)
"""It comes to stand in `canary`."""
TO_THE_END = Shape(staged_soak=A_MOMENT)
TO_AN_APPROVAL = Shape(approval=True, staged_soak=A_MOMENT)
"""It comes to stand before `staged`, and once that is approved it ends by itself."""
WATCHED = Shape(staged_soak=A_MOMENT, watched=True)
"""It ends by itself, or comes to stand in the watch after its last stage."""


def plan_of(name: str, shape: Shape) -> RolloutPlan:
    return parse_plan(plan_text(name, shape).encode(), f"{name}.yaml")


def plan_text(name: str, shape: Shape) -> str:
    return _PLAN.format(
        name=name,
        flag=name.replace("-", "_"),
        canary_soak=shape.canary_soak,
        approval=str(shape.approval).lower(),
        check=shape.check,
        check_after=shape.check_after,
        staged_soak=shape.staged_soak,
        windows=_FROZEN if shape.frozen else "",
        watch="watch: 1h\n" if shape.watched else "",
        deadman="deadman: {page_after: 5s, flags_off_after: 10s}\n" if shape.deadman else "",
    )
