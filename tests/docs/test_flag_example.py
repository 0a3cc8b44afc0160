"""The example in the documents is the file beside them, and does what they say."""

import sys
from pathlib import Path

from flagstore.store import FlagStore, connect
from local.child_process import ChildProcess
from local.ports import LOOPBACK, answers, free_port
from local.redis_server import RedisServer
from tests import patient_http
from tests.checkout import CHECKOUT
from tests.flagstore.ground import INTERNAL, begin, to
from tests.flagstore.waiting import until

DOCS = CHECKOUT / "docs"
EXAMPLE = DOCS / "examples" / "shop.py"
NEW, OLD = "the new basket\n", "the old basket\n"


def test_the_document_shows_the_example_as_it_is() -> None:
    assert f"```python\n{EXAMPLE.read_text()}```" in (DOCS / "flags.md").read_text()


async def test_the_example_serves_the_flag_and_forgets_it_in_an_emergency(tmp_path: Path) -> None:
    server, port = RedisServer.start(tmp_path / "redis"), free_port()
    redis = connect(server.url)
    store = FlagStore(redis, "production", "shop")
    fence = (await begin(store)).epoch
    shop = ChildProcess.start(
        "shop",
        [sys.executable, EXAMPLE, server.url, str(port)],
        log=tmp_path / "shop.log",
        ready=lambda _: answers(port),
    )

    def page(email: str) -> str:
        return patient_http.get(f"http://{LOOPBACK}:{port}", headers={"X-User": "user-1", "X-Email": email}).text

    try:
        assert page("kim@example.com") == OLD

        await to(store, INTERNAL, fence)
        await until(lambda: page("kim@example.com") == NEW)
        assert page("kim@example.org") == OLD

        await store.emergency(by="kim", reason="down")
        await until(lambda: page("kim@example.com") == OLD)
    finally:
        shop.stop()
        await redis.aclose()
        server.stop()
