"""The tables of what is known of Cloud Run, held against the sandbox by both of Google's clients under every profile.

tests/sandbox/conformance_facts.py      what is answered, field by field
tests/sandbox/conformance_refusals.py   what is turned away, and in which words
"""

import asyncio
from itertools import product

import pytest

from sandbox.cloud_run import EtagProfile, InflightProfile
from tests.sandbox.both_clients import ClientKind
from tests.sandbox.conformance_changes import CHANGES
from tests.sandbox.conformance_facts import Fact
from tests.sandbox.conformance_refusals import REFUSALS, Refusal
from tests.sandbox.conformance_services import SERVICES
from tests.sandbox.conformance_story import Refused, Story, told

FACTS = (*SERVICES, *CHANGES)
CLIENTS: tuple[ClientKind, ...] = ("sync", "async")
ETAGS: tuple[EtagProfile, ...] = ("enforce", "ignore")
INFLIGHT: tuple[InflightProfile, ...] = ("supersede", "abort")


@pytest.fixture(scope="module", params=[*product(CLIENTS, ETAGS, INFLIGHT)], ids="-".join)
def story(request: pytest.FixtureRequest) -> Story:
    client, etag, inflight = request.param
    return asyncio.run(told(client, etag, inflight, [(each.fact, each.method, each.request) for each in REFUSALS]))


def _name(row: Fact | Refusal) -> str:
    return f"{row.standing}: {row.fact}"


@pytest.mark.parametrize("row", FACTS, ids=_name)
def test_a_fact_holds(story: Story, row: Fact) -> None:
    assert row.seen(story) == row.wanted(story)


@pytest.mark.parametrize("row", REFUSALS, ids=_name)
def test_a_request_is_refused(story: Story, row: Refusal) -> None:
    refused = story.refused[row.fact]

    assert isinstance(refused, Refused)
    assert (refused.kind, refused.violated) == (row.kind, (row.field,) if row.field else ())
    assert refused.message.endswith(row.said)


def test_every_fact_stands_in_the_tables_once() -> None:
    for rows in ([each.fact for each in FACTS], [each.fact for each in REFUSALS]):
        assert sorted(rows) == sorted(set(rows))
