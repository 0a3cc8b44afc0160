"""How desired traffic becomes observed traffic; the rules of the list stand in test_conformance.py."""

from google.cloud import run_v2

from tests.sandbox.google import CANDIDATE, NEW_IMAGE, Google, template_of, to


def observed(service: run_v2.Service) -> list[tuple[str, int, str]]:
    return [(row.revision, row.percent, row.tag) for row in service.traffic_statuses]


async def test_traffic_moves_and_comes_back(google: Google) -> None:
    stable = await google.stable()
    await google.deploy(10)
    await google.update(["traffic"], traffic=[to(stable, 40), to(CANDIDATE, 60)])
    assert observed(await google.settled()) == [(stable, 40, ""), (CANDIDATE, 60, "")]

    await google.update(["traffic"], traffic=[to(stable, 100)])
    assert observed(await google.settled()) == [(stable, 100, "")]


async def test_a_service_on_latest_moves_with_a_new_template(google: Google) -> None:
    await google.update(["template"], template=template_of(NEW_IMAGE, CANDIDATE))
    await google.settled()

    (record,) = google.sandbox.services
    assert [(share.revision, share.percent) for share in record.observed_traffic().shares] == [(CANDIDATE, 100)]


async def test_a_tag_of_the_longest_allowed_length_is_taken(google: Google) -> None:
    tag = "t" * (46 - len("backend"))
    await google.update(["traffic"], traffic=[to(await google.stable(), 100, tag)])

    assert (await google.settled()).traffic_statuses[0].tag == tag
