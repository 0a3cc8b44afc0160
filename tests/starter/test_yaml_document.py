import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starter import yaml_document
from starter.yaml_document import Node, YamlRefused, read_document


def plain(text: str) -> object:
    return read_document(text.encode()).plain()


def refusal(text: str | bytes) -> tuple[int, str]:
    with pytest.raises(YamlRefused) as refused:
        read_document(text if isinstance(text, bytes) else text.encode())
    return refused.value.line, refused.value.problem


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("2026-11-23", "2026-11-23"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("=", "="),
        ("10%", "10%"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("012", 12),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("'12'", "12"),
        ('"true"', "true"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_mean_what_the_core_schema_of_yaml_1_2_says(written: str, means: object) -> None:
    assert plain(f"value: {written}") == {"value": means}


def test_not_a_number_is_read_as_such() -> None:
    value = read_document(b"x: .nan").child("x")
    assert value is not None
    assert isinstance(value.value, float)
    assert math.isnan(value.value)


def test_every_value_remembers_the_line_of_its_key() -> None:
    root = read_document(b"# comment\nstages:\n  - name: a\n    soak:\n      2h\n  - name: b\n")
    stages = root.child("stages")
    assert stages is not None
    assert stages.line == 2
    first, second = stages.child(0), stages.child(1)
    assert first is not None
    assert second is not None
    soak = first.child("soak")
    assert soak is not None
    assert (first.line, soak.line, second.line) == (3, 4, 6)


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert read_document(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").plain() == {"a": 1, "b": 2}


def test_aliases_repeat_a_value_and_merge_keys_are_ordinary_keys() -> None:
    assert plain("a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n") == {"a": {"k": 1}, "b": {"k": 1}, "c": {"<<": {"k": 1}}}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' stands twice, first on line 1"),
        ("a:\n  b: [1, 2\n", 3, "not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("a: b: c\n", 1, "not YAML: mapping values are not allowed here"),
        ("a:\n\tb: 1\n", 2, "not YAML: while scanning for the next token, found character '\\t' that cannot start"),
        ("a: 1\n--- \nb: 2\n", 2, "a second document begins here; a plan is one document"),
        ("%YAML 1.1\n---\na: off\n", 1, "directives (%YAML, %TAG) are not used in a plan"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tags such as !!python/object/apply:os.system are not used"),
        ("a: !secret x\n", 1, "tags such as !secret are not used in a plan"),
        ("a: 1\nb: *nobody\n", 2, "alias *nobody repeats nothing that stands above it"),
        ("a: &a [*a]\n", 1, "alias *a repeats nothing that stands above it"),
        ("? [a, b]\n: 1\n", 1, "a key is plain text"),
        ("? *a\n: 1\n", 1, "a key is plain text"),
        ("a: 1\nb: \x01\n", 2, "a character that YAML does not allow"),
        (b"a: 1\nb: \xff\n", 2, "the file is not UTF-8 text"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_line(text: str | bytes, line: int, problem: str) -> None:
    found_line, found = refusal(text)
    assert found.startswith(problem)
    assert found_line == line


def test_size_is_limited_before_anything_is_parsed() -> None:
    assert refusal(b"#" * (yaml_document.MAX_BYTES + 1)) == (1, "the file is larger than 128 kB")


def test_depth_is_limited_in_every_style() -> None:
    assert refusal("[" * 5000 + "]" * 5000) == (1, "nested deeper than 20 levels")
    assert refusal("\n".join(" " * depth + "a:" for depth in range(50))) == (21, "nested deeper than 20 levels")


def test_aliases_cannot_blow_a_small_file_up() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert refusal("\n".join(levels)) == (5, "more than 10,000 values")


def test_the_number_of_aliases_and_values_is_limited() -> None:
    assert refusal("a: &a 1\n" + "\n".join(f"b{n}: *a" for n in range(101)))[1] == "more than 100 aliases"
    assert refusal("[" + "1," * 20_000 + "]")[1] == "more than 10,000 values"


_KEYS = st.text("abcxyz_", min_size=1, max_size=5)
_SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc: -#'\"\n%&*!", max_size=8)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_KEYS, children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_KEYS, _DOCUMENTS, min_size=1, max_size=4))
def test_json_is_read_as_json_means_it(document: dict[str, object]) -> None:
    assert plain(json.dumps(document)) == document


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.text("{}[]:,-?&*!%#|>'\"\n ab\t", max_size=60))
def test_any_text_is_either_read_or_refused_with_a_line(text: str) -> None:
    try:
        document = read_document(text.encode("utf-8", errors="surrogatepass"))
    except YamlRefused as refused:
        document = Node(None, refused.line)
    assert 1 <= document.line <= len(text.splitlines()) + 2
