"""JSON that is nested without end, or holds numbers without end, is refused with the field in which it is."""

import pytest
from pydantic_core import from_json

from rollout.json_reading import names_each_field_once, read_json

DIGITS = "9" * 6_000
WRONG = {
    "lists": (
        '{"end": "now", "treated": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "treated: nested deeper than 20 levels",
    ),
    "objects": ('{"a": ' * 100_000 + "1" + "}" * 100_000, "a: nested deeper than 20 levels"),
    "no field": ("[" * 100_000, "nested deeper than 20 levels"),
    "a number": (f'{{"treated": {{"total": {DIGITS}, "bad": 1}}}}', "total: a number of more than 300 digits"),
    "a number alone": (DIGITS, "a number of more than 300 digits"),
    "a number after a text": (f'{{"why": "{DIGITS}", "total": -{DIGITS}}}', "total: a number of more than 300 digits"),
    "a field that stands twice": (
        '{"treated": {"total": 10, "bad": 1, "total": 1}}',
        "total: stands twice, as 10 and as 1",
    ),
    "the same field again, with the same value": (
        '{"end": "now", "end" : "now"}',
        "end: stands twice, as 'now' and as 'now'",
    ),
    "no JSON": ("{oh no", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_refused_in_words_with_its_field(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read_json(text)

    assert str(refused.value) == said


def test_what_can_be_read_is_its_value() -> None:
    assert read_json('{"a": ["1", 2.5, null]}') == {"a": ["1", 2.5, None]}


TWICE = (
    '{"a": 1, "a": 1}',
    '{"a" : 1, "a": {"b": "c"}}',
    '{"a": {"b": 1, "\\u0062": 2}, "c": "x"}',
    '{"a": 1, "": 2, "": 3}',
)


@pytest.mark.parametrize("text", TWICE)
def test_what_another_parser_left_out_is_noticed(text: str) -> None:
    assert not names_each_field_once(text, from_json(text))


def test_a_line_as_it_should_be_is_known_at_a_glance() -> None:
    text = '{"metric": "requests", "all": {"bounds_ms": [1, 2.5], "counts": [1, 2, 3]}, "control": null}'
    assert names_each_field_once(text, from_json(text))
