"""A rehearsal knows a cohort by its past, at each percentage, however often that was written down."""

from collections.abc import Iterator
from pathlib import Path

from tests.rollout.samples import MINUTE, NOON
from tests.starter.command_line import Run
from tests.starter.played_metrics import PLAN, Row, in_file, played

COHORTS = (
    PLAN.replace("metrics:\n", "flags: [basket]\ncohort: basket\nmetrics:\n")
    .replace("{by: revision, service: shop}", "{by: cohort, label: metric.labels.cohort, steps: [10%, 50%]}")
    .partition("stages:")[0]
    + """  failures:
    {kind: threshold, title: All errors, metric: requests, statistic: bad_share, group: all, at_most: 50%, window: 10m,
     minimum_sample: 100, action: hold, page_after: 15m}
stages:
  - {name: dark, deploy: true, traffic: [0%, 100%], traffic_hold: 1m, exposure: off, soak: 4h, gates: [failures]}
  - {name: canary, exposure: 10%, soak: 1h, gates: [errors]}
  - {name: half, exposure: 50%, soak: 1h, gates: [errors]}
"""
)


def worse_cohorts(*, until: int, half: bool) -> Iterator[Row]:
    """The first tenth of the users has 3 % errors and the others 1 %, before and after; `half`: of each split."""
    for minute in range(1, until + 1):
        end = (NOON + minute * MINUTE).isoformat()
        yield {
            "metric": "requests", "end": end,
            "treated": {"total": 1000, "bad": 30}, "control": {"total": 9000, "bad": 90},
        }  # fmt: skip
        if half:
            yield {
                "metric": "requests@50%", "end": end,
                "treated": {"total": 5000, "bad": 70}, "control": {"total": 5000, "bad": 50},
            }  # fmt: skip


def test_what_a_cohort_was_worse_by_before_its_exposure_is_allowed_at_each_percentage(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS, encoding="utf-8")

    found = played(run, plan, worse_cohorts(until=420, half=True))

    assert (found.outcome, [stage.held for stage in found.stages]) == ("completed", [()] * 3)


def test_a_past_that_is_too_short_to_know_the_cohort_by_allows_nothing(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS.replace("soak: 4h", "soak: 2m"), encoding="utf-8")

    assert played(run, plan, worse_cohorts(until=200, half=True)).outcome == "rolled_back"


def test_a_file_that_names_a_cohorts_metric_once_is_taken_for_every_percentage(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS, encoding="utf-8")
    said = run({}, "what-if", plan, "--data", in_file(tmp_path, worse_cohorts(until=420, half=False)))

    assert "no data at all" not in said.err
    assert said.code == 0


def test_it_is_so_where_only_a_later_percentage_is_compared(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    counted = "type: run.googleapis.com/request_count, value: count"
    classes = "bad: {label: metric.labels.response_code_class, values: [5xx]}"
    plan.write_text(
        COHORTS.replace("exposure: 10%, soak: 1h, gates: [errors]", "exposure: 10%, soak: 1h, gates: [failures]")
        .replace("title: All errors, metric: requests", "title: All errors, metric: everything")
        .replace("metrics:\n", f"metrics:\n  everything: {{{counted}, {classes}}}\n"),
        encoding="utf-8",
    )
    rows: list[Row] = list(worse_cohorts(until=420, half=False))
    everything: list[Row] = [
        {"metric": "everything", "end": row["end"], "all": {"total": 10_000, "bad": 120}} for row in rows
    ]

    said = run({}, "what-if", plan, "--data", in_file(tmp_path, iter([*rows, *everything])))

    assert said.code == 0, said.err
