"""A small plan, minutes that were measured, and what `rollout what-if` makes of both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rollout.what_if import WhatIf
from tests.rollout.samples import MINUTE, NOON
from tests.starter.command_line import Run

PLAN = """
name: small
description: One gate against control
environment: production
services: {shop: {project: example-shop, region: europe-west1, service: shop}}
check_interval: 60s
baseline: {window: 1h}
guard: 1m
notifications: {channels: [log]}
metrics:
  requests:
    type: custom.googleapis.com/shop/requests
    value: count
    bad: {label: metric.labels.outcome, values: [error]}
    groups: {by: revision, service: shop}
gates:
  errors:
    kind: versus_control
    title: Errors
    metric: requests
    statistic: bad_share
    group: treated
    max_difference: 1%
    window: 10m
    minimum_sample: 100
    action: rollback
    page_after: 15m
stages:
  - {name: canary, deploy: true, traffic: [0%, 10%], traffic_hold: 10m, exposure: off, soak: 1h, gates: [errors]}
  - {name: everybody, traffic: [50%], exposure: off, soak: 1h, gates: [errors]}
"""
Row = dict[str, Any]


def minutes(count: int, *, without: range = range(0), bad_from: int | None = None) -> Iterator[Row]:
    for minute in range(1, count + 1):
        if minute not in without:
            bad = 40 if bad_from is not None and minute >= bad_from else 2
            yield {
                "metric": "requests",
                "end": (NOON + minute * MINUTE).isoformat(),
                "treated": {"total": 1000, "bad": bad},
                "control": {"total": 9000, "bad": 18},
            }


def in_file(directory: Path, rows: Iterator[Row]) -> Path:
    file = directory / "data.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def played(run: Run, plan: Path, rows: Iterator[Row]) -> WhatIf:
    said = run({}, "what-if", plan, "--data", in_file(plan.parent, rows), "--json")
    assert said.code in (0, 1), said.err
    found = WhatIf.model_validate_json(said.out)
    assert said.code == (0 if found.outcome == "completed" else 1)
    return found


def changed(plan: Path, *changes: tuple[str, str]) -> Path:
    """The plan with some of its text replaced."""
    text = plan.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    plan.write_text(text, encoding="utf-8")
    return plan
