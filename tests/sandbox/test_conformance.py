"""The tables of what is known of Cloud Run, held against the sandbox by both of Google's clients under every profile.

tests/sandbox/conformance_facts.py      what is answered, field by field
tests/sandbox/conformance_refusals.py   what is turned away, and in which words
"""

import asyncio
from itertools import product

import pytest

from sandbox.cloud_run import EtagProfile, InflightProfile
from tests.sandbox.both_clients import ClientKind
from tests.sandbox.cloud_run_refusal import Refusal
from tests.sandbox.conformance_changes import CHANGES
from tests.sandbox.conformance_facts import Fact
from tests.sandbox.conformance_refusals import REFUSALS
from tests.sandbox.conformance_services import SERVICES
from tests.sandbox.conformance_story import Refused, Story, told

FACTS = (*SERVICES, *CHANGES)
CLIENTS: tuple[ClientKind, ...] = ("sync", "async")
ETAGS: tuple[EtagProfile, ...] = ("enforce", "ignore")
INFLIGHT: tuple[InflightProfile, ...] = ("supersede", "abort")


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    """One of each client under each profile, all told at once."""
    to_refuse = [(each.fact, each.method, each.request) for each in REFUSALS]

    async def all_told() -> list[Story]:
        kinds = product(CLIENTS, ETAGS, INFLIGHT)
        return await asyncio.gather(*(told(*kind, to_refuse) for kind in kinds))

    return asyncio.run(all_told())


def _name(row: Fact | Refusal) -> str:
    return f"{row.standing}: {row.fact}"


@pytest.mark.parametrize("row", FACTS, ids=_name)
def test_a_fact_holds(stories: list[Story], row: Fact) -> None:
    assert {story.title: row.seen(story) for story in stories} == {story.title: row.wanted(story) for story in stories}


@pytest.mark.parametrize("row", REFUSALS, ids=_name)
def test_a_request_is_refused(stories: list[Story], row: Refusal) -> None:
    for story in stories:
        refused = story.refused[row.fact]

        assert isinstance(refused, Refused), story.title
        assert (refused.kind, refused.violated) == (row.kind, (row.field,) if row.field else ()), story.title
        assert refused.message.endswith(row.said), story.title


def test_every_fact_stands_in_the_tables_once() -> None:
    for rows in ([each.fact for each in FACTS], [each.fact for each in REFUSALS]):
        assert sorted(rows) == sorted(set(rows))
