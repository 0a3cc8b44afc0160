import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import health
from activities.failures import Failure
from activities.health import LARGEST_BODY_BYTES, EndpointCheck, HealthActivities
from tests.activities.http_endpoint import response, sends, serving


@pytest.fixture
async def activities() -> AsyncIterator[HealthActivities]:
    async with httpx.AsyncClient() as http:
        yield HealthActivities(http)


async def check(activities: HealthActivities, url: str) -> None:
    await ActivityEnvironment().run(activities.check_endpoint, EndpointCheck(url=url, title="backend /health/overall"))


async def test_a_probe_hands_on_status_and_json(activities: HealthActivities) -> None:
    async with serving(sends(response("200 OK", b'{"status": "ok", "score": 0.99}'))) as url:
        answer = await activities.probe(f"{url}/health/isolation")
    assert (answer.status, answer.body, answer.error) == (200, {"status": "ok", "score": 0.99}, "")


@pytest.mark.parametrize("body", [b"fine", b"", b"[1, 2]", b'"ok"', b"\xff\xfe", b"[" * 50_000, b'{"a": '])
async def test_a_body_that_is_no_json_object_counts_as_none(activities: HealthActivities, body: bytes) -> None:
    async with serving(sends(response("200 OK", body))) as url:
        answer = await activities.probe(url)
    assert (answer.status, answer.body) == (200, None)


async def test_an_endless_body_is_not_read_to_its_end(activities: HealthActivities) -> None:
    body = b'{"a": "' + b"x" * LARGEST_BODY_BYTES + b'"}'
    async with serving(sends(response("503 Service Unavailable", body))) as url:
        answer = await activities.probe(url)
    assert (answer.status, answer.body) == (503, None)


async def test_an_endpoint_that_drips_is_given_up_in_time(
    activities: HealthActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as url:
        answer = await activities.probe(url)
    assert (answer.status, answer.error) == (None, "no answer within 0.2 s")


async def test_a_port_where_nobody_listens_is_an_answer_without_a_status(activities: HealthActivities) -> None:
    async with serving(sends(b"")) as url:
        pass
    answer = await activities.probe(url)
    assert answer.status is None
    assert answer.error.startswith("ConnectError")


async def test_an_answer_that_is_no_http_is_an_answer_without_a_status(activities: HealthActivities) -> None:
    async with serving(sends(b"SSH-2.0-OpenSSH\r\n")) as url:
        answer = await activities.probe(url)
    assert answer.status is None
    assert "RemoteProtocolError" in answer.error


async def test_a_redirect_is_an_answer_and_is_not_followed(activities: HealthActivities) -> None:
    async with serving(sends(response("302 Found", b"", "Location: http://127.0.0.1:1/"))) as url:
        assert (await activities.probe(url)).status == 302


@pytest.mark.parametrize("url", ["/health/overall", "", "ftp://127.0.0.1/", "http://", "http://[::", "file:///etc/x"])
async def test_what_is_no_http_address_is_refused_for_good(activities: HealthActivities, url: str) -> None:
    with pytest.raises(ApplicationError, match="is not an http") as refused:
        await check(activities, url)
    assert repr(url) in refused.value.message
    assert (refused.value.type, refused.value.non_retryable) == (Failure.INVALID_REQUEST, True)


async def test_a_check_passes_on_200(activities: HealthActivities) -> None:
    async with serving(sends(response("200 OK", b""))) as url:
        await check(activities, url)


async def test_a_check_that_fails_names_the_address_and_the_answer_and_may_be_repeated(
    activities: HealthActivities,
) -> None:
    async with serving(sends(response("503 Service Unavailable", b"no"))) as url:
        with pytest.raises(ApplicationError) as failed:
            await check(activities, f"{url}/health/overall")
    assert failed.value.message == f"backend /health/overall: {url}/health/overall answered 503, wanted 200"
    assert (failed.value.type, failed.value.non_retryable) == (Failure.UNHEALTHY, False)


async def test_a_check_without_an_answer_says_why(activities: HealthActivities) -> None:
    async with serving(sends(b"")) as url:
        pass
    with pytest.raises(ApplicationError, match=r"did not answer \(ConnectError"):
        await check(activities, url)
