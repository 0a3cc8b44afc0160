"""What the store refused, as a sentence that fits how much it is about."""

import pytest

from flagstore.replies import StoreReply, StoreStatus


@pytest.mark.parametrize(("images", "verb"), [("shop/backend:2", "was"), ("shop/backend:2, shop/auth:2", "were")])
def test_refused_candidates_are_told_in_the_number_they_are(images: str, verb: str) -> None:
    reply = StoreReply(StoreStatus.REFUSED_CANDIDATE, epoch=1, rev=1, detail=images, replayed=False, group="shop")

    assert reply.sentence.startswith(f"{images} {verb} rolled back before; start it with `--again")
