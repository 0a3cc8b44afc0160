"""The vectors of the written specification are what the code computes: other languages are built from them."""

import json

import pytest

from rollout.flags import BASIS_POINTS, HASH_SPACE, FlagSnapshot, email_domain, threshold, user_hash
from tests.checkout import CHECKOUT

SPECIFICATION = (CHECKOUT / "docs" / "flags.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = SPECIFICATION.split(f"### {heading}\n", maxsplit=1)[1].split("\n#", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("hash_key", "user_key", "place", "basis_points"), rows("Vectors: place"))
def test_a_user_stands_where_the_specification_says(
    hash_key: str, user_key: str, place: str, basis_points: str
) -> None:
    computed = user_hash(hash_key, json.loads(user_key))

    assert computed == int(place, 16)
    assert computed * BASIS_POINTS // HASH_SPACE == int(basis_points)


@pytest.mark.parametrize(("basis_points", "limit"), rows("Vectors: threshold"))
def test_a_threshold_is_what_the_specification_says(basis_points: str, limit: str) -> None:
    assert threshold(int(basis_points)) == int(limit, 16)


@pytest.mark.parametrize(("address", "domain"), rows("Vectors: domain"))
def test_the_domain_of_an_address_is_what_the_specification_says(address: str, domain: str) -> None:
    assert email_domain(json.loads(address)) == json.loads(domain)


def test_every_field_of_a_snapshot_is_specified() -> None:
    section = SPECIFICATION.split("## The snapshot\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    fields = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}

    assert fields == set(FlagSnapshot.model_fields)
