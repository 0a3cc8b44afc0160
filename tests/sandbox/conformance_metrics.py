"""What Cloud Monitoring answers: one row, one question, what is seen in the answer, and how well that is known.

The standings are those of `conformance_facts.py`; the series asked about are those of `conformance_metric_story.py`.
"""

import pytest

from tests.sandbox.conformance_metric_lists import ABSENT, DESCRIBED, PAGED, RAWS
from tests.sandbox.conformance_metric_story import (
    DEPTH,
    END,
    GAUGE,
    LATENCY,
    MINUTE,
    OF_A,
    OF_B,
    PLACES,
    QUEUES,
    REQUESTS,
)
from tests.sandbox.google import PROJECT, Aligner, Reducer
from tests.sandbox.monitoring_answer import (
    BY_GROUP,
    DELTA,
    DISTRIBUTION,
    DOUBLE,
    ERROR,
    INT64,
    MINUTES,
    NONE,
    OK,
    SCALED,
    Answer,
    asked,
    ends,
    every,
    made,
    only,
    spread,
    spread_of,
    starts,
    value,
    values,
)
from tests.sandbox.moving_clock import START

ALIGNED = (
    Answer(
        "documented",
        "ALIGN_DELTA reads a cumulative series as its changes, newest first",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        values,
        {"treated/ok": [0, 7, 5]},
    ),
    Answer(
        "documented",
        "a new start time is a reset and no negative change",
        asked(REQUESTS, only=ERROR, reducer=NONE, **MINUTES),
        values,
        {"treated/error": [0, 2, 1]},
    ),
    Answer(
        "documented",
        "ALIGN_DELTA makes DELTA and keeps the value type",
        asked(REQUESTS, only=OK, reducer=NONE),
        made,
        (DELTA, INT64),
    ),
    Answer(
        "documented",
        "ALIGN_RATE is per second",
        asked(REQUESTS, only='metric.labels.group = "control"', aligner=Aligner.ALIGN_RATE, reducer=NONE),
        values,
        {"control/ok": [pytest.approx(100 / 180)]},
    ),
    Answer(
        "documented",
        "ALIGN_RATE makes GAUGE and DOUBLE",
        asked(REQUESTS, only=OK, aligner=Aligner.ALIGN_RATE, reducer=NONE),
        made,
        (GAUGE, DOUBLE),
    ),
    Answer(
        "documented",
        "a period ends with the interval and others step back from there",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        ends,
        [END, END - MINUTE, END - 2 * MINUTE],
    ),
    Answer(
        "documented",
        "a DELTA point spans its period",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        starts,
        [END - MINUTE, END - 2 * MINUTE, START],
    ),
    Answer(
        "documented",
        "a GAUGE point has one time",
        asked(DEPTH, reducer=NONE, aligner=Aligner.ALIGN_MEAN, **MINUTES),
        lambda pages: (starts(pages), ends(pages)),
        ([END], [END]),
    ),
    Answer(
        "documented",
        "a window that is one period is one point",
        asked(REQUESTS, only=OK, reducer=NONE),
        values,
        {"treated/ok": [12]},
    ),
    Answer(
        "assumed",
        "a period without points is left out",
        asked(REQUESTS, only='metric.labels.group = "control"', reducer=NONE, **MINUTES),
        values,
        {"control/ok": [100]},
    ),
    *(
        Answer(
            "documented",
            f"{Aligner(aligner).name} of a gauge",
            asked(DEPTH, aligner=aligner, reducer=NONE),
            lambda pages: (value(pages), made(pages)),
            (expected, (GAUGE, value_type)),
        )
        for aligner, expected, value_type in (
            (Aligner.ALIGN_MEAN, 9.0, DOUBLE),
            (Aligner.ALIGN_MIN, 9, INT64),
            (Aligner.ALIGN_MAX, 9, INT64),
            (Aligner.ALIGN_SUM, 9, INT64),
            (Aligner.ALIGN_COUNT, 1, INT64),
            (Aligner.ALIGN_NEXT_OLDER, 9, INT64),
        )
    ),
)

REDUCED = (
    Answer(
        "documented",
        "one series for each group",
        asked(REQUESTS, by=BY_GROUP),
        values,
        {"treated": [15], "control": [100]},
    ),
    Answer(
        "documented",
        "periods are reduced one by one",
        asked(REQUESTS, by=BY_GROUP, only='metric.labels.group = "treated"', **MINUTES),
        values,
        {"treated": [0, 9, 6]},
    ),
    Answer("documented", "without fields to group by there is one series", asked(REQUESTS), values, {"": [115]}),
    Answer(
        "documented",
        "labels not grouped by are aggregated away, the project stays",
        asked(REQUESTS, by=BY_GROUP, only=OK),
        lambda pages: (dict(only(pages).metric.labels), dict(only(pages).resource.labels)),
        ({"group": "treated"}, {"project_id": PROJECT}),
    ),
    Answer(
        "documented",
        "kinds of resources are never reduced together",
        asked(PLACES, **SCALED),
        lambda pages: {each.resource.type: each.points[0].value.int64_value for each in every(pages)},
        {"global": 1, "generic_task": 2},
    ),
    Answer(
        "documented",
        "without a reducer the fields to group by are ignored",
        asked(REQUESTS, by=BY_GROUP, reducer=NONE),
        lambda pages: sorted(values(pages)),
        ["control/ok", "treated/error", "treated/ok"],
    ),
    *(
        Answer(
            "documented",
            f"{Reducer(reducer).name} of numbers",
            asked(QUEUES, aligner=Aligner.ALIGN_MAX, reducer=reducer),
            lambda pages: (value(pages), only(pages).value_type),
            (expected, value_type),
        )
        for reducer, expected, value_type in (
            (Reducer.REDUCE_SUM, 60, INT64),
            (Reducer.REDUCE_MEAN, 20.0, DOUBLE),
            (Reducer.REDUCE_MIN, 10, INT64),
            (Reducer.REDUCE_MAX, 30, INT64),
            (Reducer.REDUCE_COUNT, 3, INT64),
            (Reducer.REDUCE_PERCENTILE_50, 20.0, DOUBLE),
        )
    ),
)

DISTRIBUTIONS = (
    Answer(
        "documented",
        "a distribution comes back as it was written, its bounds included",
        asked(LATENCY, only='metric.labels.instance = "a"', reducer=NONE),
        spread,
        spread_of(*OF_A),
    ),
    Answer(
        "documented",
        "REDUCE_SUM merges distributions: count, mean, deviation and buckets are those of all values",
        asked(LATENCY),
        spread,
        spread_of(*OF_A, *OF_B),
    ),
    Answer(
        "documented",
        "merged, they are still DELTA distributions",
        asked(LATENCY),
        made,
        (DELTA, DISTRIBUTION),
    ),
    Answer(
        "documented",
        "REDUCE_MEAN of distributions is the mean of their values",
        asked(LATENCY, reducer=Reducer.REDUCE_MEAN),
        lambda pages: (value(pages), made(pages)),
        (pytest.approx(76.8), (DELTA, DOUBLE)),
    ),
    Answer(
        "documented",
        "REDUCE_COUNT counts series, not values",
        asked(LATENCY, reducer=Reducer.REDUCE_COUNT),
        value,
        2,
    ),
    Answer(
        "documented",
        "a percentile of merged distributions lies inside its bucket",
        asked(LATENCY, reducer=Reducer.REDUCE_PERCENTILE_50),
        lambda pages: (20.0 <= value(pages) < 50.0, made(pages)),
        (True, (DELTA, DOUBLE)),
    ),
)


ANSWERS = (*ALIGNED, *REDUCED, *DISTRIBUTIONS, *RAWS, *ABSENT, *PAGED, *DESCRIBED)
