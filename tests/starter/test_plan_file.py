"""A plan's file is read, or refused with all that is wrong in it, each with its line, field and what is allowed."""

from pathlib import Path

import pytest

from starter.plan_file import PlanRefused, load_plan
from tests.starter.wrong_plans import SMALL_PLAN, WRONG_PLANS, Wrong, messages, small_plan


def test_the_small_plan_that_the_wrong_ones_are_made_from_is_right() -> None:
    assert load_plan(SMALL_PLAN).name == "small"


@pytest.mark.parametrize("wrong", WRONG_PLANS.values(), ids=WRONG_PLANS)
def test_a_wrong_plan_is_refused_with_line_field_what_is_allowed_and_what_was_given(wrong: Wrong) -> None:
    assert small_plan().count(wrong.instead_of) == 1
    assert messages(small_plan().replace(wrong.instead_of, wrong.written)) == wrong.messages


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = small_plan().replace("guard: 5m", "guard: 5").replace("page_after: 10m", "page_after: soon")
    found = messages(text.replace("region: europe-west1", "region: ''"))
    assert [line.split(":")[0] for line in found] == ["7", "16", "42", "49"]
    assert found[0] == "7: services.shop.region: must not be empty (given: '')"


def test_a_list_whose_entries_are_all_wrong_is_not_called_empty() -> None:
    found = messages(small_plan().replace("soak: 1h", "soak: -1h"))
    assert [line.split(":")[:2] for line in found] == [
        ["56", " stages[dark].soak"],
        ["60", " stages[staff].soak"],
        ["64", " stages[everybody].soak"],
    ]


def test_rules_between_parts_are_all_told_at_once() -> None:
    text = small_plan().replace("gates: [errors]", "gates: [a, b]").replace("metric: requests", "metric: c")
    assert [line.split(" ")[1] for line in messages(text)] == [
        "gates.errors.metric:",
        "stages[staff].gates[1]:",
        "stages[staff].gates[2]:",
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "42\n"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    assert messages(text) == [
        "1: a plan is a mapping of fields to values: name, description, services, stages, …",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused) as refused:
        load_plan(tmp_path / "nowhere.yaml")
    assert str(refused.value) == f"{tmp_path}/nowhere.yaml: No such file or directory"


def test_a_directory_is_not_a_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="Is a directory"):
        load_plan(tmp_path)


def test_a_long_value_is_cut_in_the_message() -> None:
    (line,) = messages(small_plan().replace("guard: 5m", f"guard: {'x' * 5000}"))
    assert len(line) < 200


def test_a_plan_is_the_same_after_a_round_trip_through_json() -> None:
    plan = load_plan(SMALL_PLAN)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
