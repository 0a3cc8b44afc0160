"""Etags of one instant, ids and lists of services; what a service is field by field stands in test_conformance.py."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.sandbox.google import (
    OLD_IMAGE,
    PARENT,
    Google,
    template_of,
)
from tests.sandbox.moving_clock import MovingClock


async def test_two_updates_in_one_instant_have_different_etags() -> None:
    async with Google.started(clock=MovingClock()) as google:
        etags = set()
        for marker in "abc":
            await google.update(["annotations"], annotations={"marker": marker})
            etags.add((await google.service()).etag)
        assert len(etags) == 3


@pytest.mark.parametrize("service_id", ["", "1st", "Upper", "ends-", "a" * 50])
async def test_a_service_id_follows_the_rules(google: Google, service_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="service_id"):
        await google.services.create_service(
            parent=PARENT, service_id=service_id, service=run_v2.Service(template=template_of(OLD_IMAGE))
        )


async def test_services_are_listed_page_by_page(google: Google) -> None:
    for number in range(3):
        await google.services.create_service(
            parent=PARENT, service_id=f"extra-{number}", service=run_v2.Service(template=template_of(OLD_IMAGE))
        )

    pager = await google.services.list_services(request=run_v2.ListServicesRequest(parent=PARENT, page_size=2))
    pages = [[service.name.rpartition("/")[2] for service in page.services] async for page in pager.pages]

    assert pages == [["backend", "extra-0"], ["extra-1", "extra-2"]]


async def test_services_of_other_regions_are_not_listed(google: Google) -> None:
    pager = await google.services.list_services(parent="projects/shop-production/locations/europe-west1")

    assert [service async for service in pager] == []
