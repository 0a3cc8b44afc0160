"""The tables of what is known of Cloud Monitoring, held against the sandbox by both of Google's clients.

tests/sandbox/conformance_metrics.py, conformance_metric_lists.py              what is answered
tests/sandbox/conformance_metric_refusals.py, conformance_write_refusals.py    what is turned away, in which words
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import monitoring_v3

from tests.sandbox.both_clients import ClientKind
from tests.sandbox.conformance_metric_refusals import METRIC_REFUSALS
from tests.sandbox.conformance_metric_story import DEPTH, END, MINUTE, OWN, PARENT, Descriptor, gauge, told
from tests.sandbox.conformance_metrics import ANSWERS
from tests.sandbox.monitoring_answer import SCALED, Answer, asked, value
from tests.sandbox.monitoring_refusal import MetricRefusal

CLIENTS: tuple[ClientKind, ...] = ("sync", "async")


@dataclass
class Asked:
    """What one client was answered, and how it was refused, by the fact that it was asked for."""

    kind: ClientKind
    answers: dict[str, Any]
    refusals: dict[str, GoogleAPICallError | None]


@pytest.fixture(scope="module")
def both() -> list[Asked]:
    async def by(kind: ClientKind) -> Asked:
        async with told(kind) as metrics:
            refusals = {each.fact: await metrics.refusal(each.method, each.request) for each in METRIC_REFUSALS}
            # Afterwards, so that every answer says too that what was refused has left nothing behind.
            return Asked(kind, {each.fact: await metrics.call(each.method, each.request) for each in ANSWERS}, refusals)

    async def of_both() -> list[Asked]:
        return await asyncio.gather(*map(by, CLIENTS))

    return asyncio.run(of_both())


def _name(row: Answer | MetricRefusal) -> str:
    return f"{row.standing}: {row.fact}"


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_an_answer_is_what_is_known(both: list[Asked], row: Answer) -> None:
    for client in both:
        assert row.seen(client.answers[row.fact]) == row.expected, client.kind


@pytest.mark.parametrize("row", METRIC_REFUSALS, ids=_name)
def test_a_question_or_a_point_is_refused(both: list[Asked], row: MetricRefusal) -> None:
    for client in both:
        refused = client.refusals[row.fact]

        assert refused is not None, client.kind
        assert type(refused).__name__ == row.kind
        assert (refused.message or "").endswith(row.said), refused.message


def test_every_fact_stands_in_the_tables_once() -> None:
    for facts in ([each.fact for each in ANSWERS], [each.fact for each in METRIC_REFUSALS]):
        assert sorted(facts) == sorted(set(facts))


@pytest.mark.parametrize("kind", CLIENTS)
async def test_right_points_are_written_beside_wrong_ones_and_the_answer_counts_both(kind: ClientKind) -> None:
    later = END + MINUTE
    right, wrong = gauge(DEPTH, 5, later), gauge(f"{OWN}/other", 1, END - 2000 * MINUTE)
    async with told(kind) as metrics:
        refused = await metrics.refusal("create_time_series", {"name": PARENT, "time_series": [wrong, right]})
        pages = await metrics.call("list_time_series", asked(DEPTH, end=later, window=MINUTE, **SCALED))

    summary = monitoring_v3.CreateTimeSeriesSummary.pb(monitoring_v3.CreateTimeSeriesSummary())
    assert refused is not None
    assert refused.details[0].Unpack(summary)
    assert (summary.total_point_count, summary.success_point_count) == (2, 1)
    assert [(each.status.code, each.point_count) for each in summary.errors] == [(3, 1)]
    assert value(pages) == 5


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_descriptor_made_again_gains_labels_and_loses_none_and_goes_with_its_points(kind: ClientKind) -> None:
    made = f"{OWN}/made"
    name = f"{PARENT}/metricDescriptors/{made}"
    async with told(kind) as metrics:
        for label in ("first", "second"):
            descriptor = Descriptor(type=made, metric_kind="GAUGE", value_type="INT64", labels=[{"key": label}])
            await metrics.call("create_metric_descriptor", {"name": PARENT, "metric_descriptor": descriptor})
        found = await metrics.call("get_metric_descriptor", {"name": name})
        await metrics.write(gauge(made, 1, END, first="x"))
        await metrics.call("delete_metric_descriptor", {"name": name})
        gone = await metrics.refusal("list_time_series", asked(made, **SCALED))

    assert {label.key for label in found.labels} == {"first", "second"}
    assert type(gone).__name__ == "NotFound"
