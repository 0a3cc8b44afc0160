"""Monitoring filters, as plans write them."""

import pytest

from sandbox.rpc_errors import RpcError
from sandbox.time_series_filter import SeriesIdentity, parse_filter

SERIES = SeriesIdentity(
    "custom.googleapis.com/shop/requests",
    {"group": "treated", "outcome": "ok", "quote": 'say "so"'},
    "generic_task",
    {"job": "backend", "namespace": "production"},
)
TYPE = 'metric.type = "custom.googleapis.com/shop/requests"'


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("", True),
        ('AND resource.type = "generic_task"', True),
        ('resource.type="cloud_run_revision"', False),
        ('AND resource.labels.job = "backend" AND metric.labels.group = "treated"', True),
        ('AND resource.label.job = "backend" metric.label.group = "control"', False),
        ('AND metric.labels.group != "control"', True),
        ('AND metric.labels.absent = "x"', False),
        ('AND metric.labels.absent != "x"', True),
        ('AND resource.labels.job = one_of("auth", "backend")', True),
        ('AND resource.labels.job = one_of("auth")', False),
        ('AND resource.labels.job = starts_with("back")', True),
        ('AND resource.labels.job = ends_with("end")', True),
        ('AND resource.labels.job = has_substring("cke")', True),
        ('AND resource.labels.job = monitoring.regex.full_match("back.*")', True),
        ('AND resource.labels.job = monitoring.regex.full_match("back")', False),
        ('AND NOT metric.labels.group = "treated"', False),
        ('AND NOT (metric.labels.group = "control" OR metric.labels.outcome = "error")', True),
        ('AND metric.labels.group = "control" OR metric.labels.outcome = "ok"', True),
        ('AND metric.labels.group = "control" AND (metric.labels.outcome = "ok")', False),
        ("AND metric.labels.quote = 'say \"so\"'", True),
        ('AND metric.labels.quote = "say \\"so\\""', True),
    ],
)
def test_a_condition_chooses_series(condition: str, matches: bool) -> None:
    parsed = parse_filter(f"{TYPE} {condition}")

    assert parsed.metric_type == SERIES.metric_type
    assert parsed.matches(SERIES) is matches


@pytest.mark.parametrize(
    ("condition", "demanded"),
    [
        ('AND resource.labels.job = "backend" AND metric.labels.group = "treated"', {"job": "backend"}),
        (
            'resource.label.job = "backend" (resource.labels.namespace = "shop")',
            {"job": "backend", "namespace": "shop"},
        ),
        ('AND resource.labels.job = "backend" OR resource.labels.job = "auth"', {}),
        (
            'AND (resource.labels.job = "backend" AND metric.labels.group = "a" OR metric.labels.group = "b")',
            {"job": "backend"},
        ),
        ('AND NOT resource.labels.job = "backend"', {}),
        ('AND resource.labels.job != "backend"', {}),
        ('AND resource.labels.job = one_of("backend")', {}),
        ('AND resource.type = "generic_task"', {}),
    ],
)
def test_a_filter_says_without_which_labels_no_series_can_match(condition: str, demanded: dict[str, str]) -> None:
    assert parse_filter(f"{TYPE} {condition}").demanded == demanded


@pytest.mark.parametrize(
    "text",
    [
        "",
        'resource.type = "generic_task"',
        f'{TYPE} OR metric.type = "b"',
        f"{TYPE} AND",
        f"{TYPE} AND (resource.type",
        f"{TYPE} )",
        f"{TYPE} AND resource.labels.job = backend",
        f'{TYPE} AND resource.labels.job = nearly("backend")',
        f'{TYPE} AND resource.labels.job > "a"',
        f'{TYPE} AND group.id = "1"',
        'metric.type = starts_with("custom.")',
    ],
)
def test_a_filter_without_sense_or_without_one_metric_type_is_refused(text: str) -> None:
    with pytest.raises(RpcError):
        parse_filter(text)
