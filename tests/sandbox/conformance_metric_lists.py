"""What Cloud Monitoring answers without aligning: raw points, what is not there, pages, descriptors. One row each."""

from datetime import timedelta
from typing import Any

from tests.sandbox.conformance_metric_story import (
    CUMULATIVE,
    DEPTH,
    END,
    GAUGE,
    LATENCY,
    MINUTE,
    PARENT,
    REQUESTS,
)
from tests.sandbox.monitoring_answer import (
    BY_GROUP,
    DELTA,
    DISTRIBUTION,
    HEADERS,
    INT64,
    MINUTES,
    NONE,
    OK,
    RAW,
    RUN,
    SCALED,
    Answer,
    asked,
    ends,
    every,
    made,
    only,
    sizes,
    value,
    values,
)
from tests.sandbox.moving_clock import START

RAWS = (
    Answer(
        "documented",
        "without an aligner the points come as they were written",
        asked(REQUESTS, only=OK, **RAW),
        lambda pages: (values(pages), made(pages)),
        ({"treated/ok": [12, 12, 5]}, (CUMULATIVE, INT64)),
    ),
    Answer(
        "documented",
        "an interval excludes its start and includes its end",
        asked(REQUESTS, only=OK, window=MINUTE, end=END - MINUTE, **RAW),
        ends,
        [END - MINUTE],
    ),
    Answer(
        "documented",
        "of headers no point comes along",
        asked(REQUESTS, view=HEADERS, **RAW),
        sizes,
        [[0, 0, 0]],
    ),
    Answer("documented", "the unit of all series is told", asked(LATENCY), lambda pages: pages[0].unit, "ms"),
)
ABSENT = (
    Answer(
        "documented",
        "a series without a point in the interval is not there",
        asked(REQUESTS, end=START + MINUTE, window=MINUTE, by=BY_GROUP),
        values,
        {"treated": [6]},
    ),
    Answer(
        "documented",
        "nothing is an empty answer and no error",
        asked(REQUESTS, end=START - MINUTE),
        lambda pages: ([list(page.time_series) for page in pages], pages[-1].next_page_token),
        ([[]], ""),
    ),
    Answer(
        "documented",
        "a label nobody has is an empty answer and no error",
        asked(REQUESTS, only='metric.labels.group = "nobody"'),
        every,
        [],
    ),
    Answer(
        "documented",
        "points within the ingest delay of a platform's metric are not there yet",
        asked(f"{RUN}/request_count", end=END - MINUTE, window=MINUTE),
        every,
        [],
    ),
    Answer(
        "documented",
        "points older than the ingest delay are there",
        asked(f"{RUN}/request_count", end=END - 2 * MINUTE, window=MINUTE),
        lambda pages: len(only(pages).points),
        1,
    ),
    Answer(
        "documented",
        "points that clients write are there at once",
        asked(DEPTH, window=MINUTE, **SCALED),
        value,
        9,
    ),
)
PAGED = (
    Answer(
        "documented",
        "a page counts points, across series",
        asked(REQUESTS, by=["metric.labels.group", "metric.labels.outcome"], page_size=3, **MINUTES),
        sizes,
        [[3], [3], [1]],
    ),
    Answer(
        "documented",
        "a series that does not fit goes on on the next page",
        asked(REQUESTS, by=["metric.labels.group", "metric.labels.outcome"], page_size=2, **MINUTES),
        sizes,
        [[2], [1, 1], [2], [1]],
    ),
    Answer(
        "documented",
        "of headers a page counts series",
        asked(REQUESTS, view=HEADERS, page_size=2, **RAW),
        sizes,
        [[0, 0], [0]],
    ),
    Answer(
        "documented",
        "every page but the last has a token",
        asked(REQUESTS, by=BY_GROUP, page_size=1),
        lambda pages: [bool(page.next_page_token) for page in pages],
        [True, False],
    ),
)


def described(answer: Any) -> tuple[Any, ...]:
    return answer.metric_kind, answer.value_type, {label.key for label in answer.labels}


def _descriptor(metric: str) -> dict[str, Any]:
    return {"name": f"{PARENT}/metricDescriptors/{metric}"}


DESCRIBED = (
    *(
        Answer(
            "documented",
            f"{metric}: its kind, type and labels",
            _descriptor(f"{RUN}/{metric}"),
            described,
            (kind, value_type, labels),
            "get_metric_descriptor",
        )
        for metric, kind, value_type, labels in (
            ("request_count", DELTA, INT64, {"response_code", "response_code_class"}),
            ("container/cpu/utilizations", DELTA, DISTRIBUTION, set()),
            ("container/memory/utilizations", DELTA, DISTRIBUTION, set()),
            ("container/instance_count", GAUGE, INT64, {"state"}),
        )
    ),
    Answer(
        "documented",
        "the resource of Cloud Run's metrics, and its labels",
        asked(f"{RUN}/request_count", end=END - 2 * MINUTE, only='metric.labels.response_code = "200"', reducer=NONE),
        lambda pages: (only(pages).resource.type, sorted(only(pages).resource.labels)),
        (
            "cloud_run_revision",
            ["configuration_name", "location", "project_id", "revision_name", "service_name"],
        ),
    ),
    Answer(
        "documented",
        "a descriptor tells how late and how often points come",
        _descriptor(f"{RUN}/request_count"),
        lambda answer: (answer.metadata.ingest_delay.ToTimedelta(), answer.metadata.sample_period.ToTimedelta()),
        (timedelta(minutes=2), timedelta(minutes=1)),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "a first point makes the descriptor, of the point's kind and type and with its labels",
        _descriptor(REQUESTS),
        described,
        (CUMULATIVE, INT64, {"group", "outcome"}),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "what clients write has no ingest delay",
        _descriptor(REQUESTS),
        lambda answer: answer.metadata.ingest_delay.ToTimedelta(),
        timedelta(),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "descriptors are listed by prefix, in pages",
        {"name": PARENT, "filter": f'metric.type = starts_with("{RUN}/container")', "page_size": 2},
        lambda pages: [[each.type.rpartition("/")[2] for each in page.metric_descriptors] for page in pages],
        [["utilizations", "instance_count"], ["utilizations"]],
        "list_metric_descriptors",
    ),
)
