"""The sandbox's own HTTP surface: services, behaviours, faults, and the services' health pages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.api_core import exceptions

from sandbox.behaviours import Behaviour
from tests import patient_http
from tests.sandbox.flag_documents import GROUP
from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, OLD_IMAGE, PROJECT, REGION, Google, to

SERVICES = f"/services/{PROJECT}/{REGION}"


@pytest.fixture
async def http(google: Google) -> AsyncIterator[httpx.AsyncClient]:
    async with patient_http.async_client(base_url=google.sandbox.http_url) as client:
        yield client


async def answer(http: httpx.AsyncClient, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = await http.request(method, path, json=body)
    return response.status_code, response.json()


async def test_the_root_says_what_it_is(http: httpx.AsyncClient) -> None:
    status, about = await answer(http, "GET", "/")

    assert status == 200
    assert "Cloud Run" in about["what"]


async def test_a_service_is_installed_ready_and_serving(google: Google, http: httpx.AsyncClient) -> None:
    status, described = await answer(http, "PUT", f"{SERVICES}/auth", {"image": "shop/auth:1"})
    service = await google.service(NAME.replace("backend", "auth"))

    assert status == 200
    assert described["observed"] == {next(iter(described["revisions"])): 100}
    assert service.observed_generation == service.generation == 1
    assert not service.reconciling
    assert service.template.containers[0].image == "shop/auth:1"


async def test_installing_a_service_again_changes_nothing(google: Google, http: httpx.AsyncClient) -> None:
    await google.deploy(10)
    before = await google.service()
    _, first = await answer(http, "PUT", f"{SERVICES}/backend", {"image": "shop/backend:9"})
    _, again = await answer(http, "PUT", f"{SERVICES}/backend", {"image": "shop/backend:9"})

    assert first == again
    assert await google.service() == before


async def test_services_are_listed_with_what_serves(google: Google, http: httpx.AsyncClient) -> None:
    await google.deploy(10)
    stable = await google.stable()

    assert await answer(http, "GET", "/services") == (
        200,
        [
            {
                "name": NAME,
                "flag_group": None,
                "uri": f"{google.sandbox.http_url}/run/backend",
                "reconciling": False,
                "revisions": {stable: OLD_IMAGE, CANDIDATE: NEW_IMAGE},
                "observed": {stable: 90, CANDIDATE: 10},
            }
        ],
    )


async def test_behaviours_are_set_shown_and_cleared(http: httpx.AsyncClient) -> None:
    body = {"image": NEW_IMAGE, "treated_error_rate": 0.06, "treated_latency_factor": 1.3}
    expected = {NEW_IMAGE: {"treated_error_rate": 0.06, "treated_latency_factor": 1.3}}

    assert await answer(http, "PUT", "/behaviours", body) == (200, expected)
    assert await answer(http, "GET", "/behaviours") == (200, expected)
    assert await answer(http, "DELETE", "/behaviours") == (200, {})


async def test_faults_are_put_shown_and_removed(google: Google, http: httpx.AsyncClient) -> None:
    await answer(http, "PUT", "/faults", {"method": "GetService", "code": "UNAVAILABLE", "after_commit": True})
    await answer(http, "PUT", "/faults", {"metrics": "outage"})
    _, shown = await answer(http, "PUT", "/faults", {"reconcile_seconds": 20})

    assert shown["metrics"] == "outage"
    assert shown["reconcile_seconds"] == 20
    assert [fault["method"] for fault in shown["faults"]] == ["GetService"]
    with pytest.raises(exceptions.ServiceUnavailable):
        await google.services.get_service(name=NAME, retry=None)
    assert (await answer(http, "DELETE", "/faults/GetService"))[1]["faults"] == []
    assert await answer(http, "DELETE", "/faults") == (200, {"faults": [], "metrics": None, "reconcile_seconds": None})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        (
            "PUT",
            "/behaviours",
            {"image": "i", "error_rate": 2},
            400,
            "error_rate: Input should be less than",
        ),
        ("PUT", "/behaviours", {"image": "i", "colour": 1}, 400, "colour: Extra inputs are not permitted, got 1"),
        ("PUT", "/behaviours", {"error_rate": 0.1}, 400, "image: Field required"),
        ("PUT", "/behaviours", [1], 400, "must be a JSON object, got [1]"),
        ("PUT", "/faults", {"method": "GetService", "code": "BAD"}, 400, "'BAD' is not a gRPC status"),
        ("PUT", "/faults", {"method": "GetService", "code": "OK"}, 400, "'OK' is not a gRPC status of a failure"),
        ("PUT", "/faults", {"method": "Get", "code": "INTERNAL"}, 400, "method: 'Get' is not served; allowed are"),
        ("PUT", "/faults", {"metrics": "slow"}, 400, "metrics: Input should be 'outage', got 'slow'"),
        ("PUT", f"{SERVICES}/Bad", {"image": "i"}, 400, "service: String should match pattern"),
        ("PUT", f"{SERVICES}/backend", {}, 400, "image: Field required"),
        ("PUT", f"{SERVICES}/new", {"image": "i", "flag_group": GROUP}, 400, "needs a sandbox that was started with"),
        ("POST", "/behaviours", {}, 405, "means nothing here"),
        ("POST", "/faults", {}, 405, "means nothing here"),
        ("DELETE", "/services", None, 405, "means nothing here"),
        ("GET", "/elsewhere", None, 404, "is unknown; GET / says what there is"),
        ("GET", "/run/backend", None, 404, "a service answers /run/{service}/health/{page}"),
        ("GET", "/run/nobody/health/overall", None, 404, "no service 'nobody'"),
        ("GET", "/run/backend/health/mood", None, 404, "no health page 'mood'; there are isolation"),
        ("GET", "/run/canary---backend/health/overall", None, 404, "has no tag 'canary' in use"),
    ],
)
async def test_what_is_wrong_is_refused_with_field_value_and_what_is_allowed(
    http: httpx.AsyncClient, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answered, refusal = await answer(http, method, path, body)

    assert answered == status
    assert said in refusal["error"]


async def test_a_body_that_is_not_json_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.put("/behaviours", content=b"{")

    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]


async def test_a_line_that_is_not_http_is_answered_and_not_fatal(google: Google, http: httpx.AsyncClient) -> None:
    host, port = google.sandbox.http_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"nonsense\r\n\r\n")
    status_line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status_line == b"HTTP/1.1 400 Bad Request\r\n"
    assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize("page", ["isolation", "websocket", "factory", "overall"])
async def test_the_tag_url_answers_for_the_tagged_revision(google: Google, http: httpx.AsyncClient, page: str) -> None:
    service = await google.deploy(0, tag="canary")
    (tagged,) = (row for row in service.traffic_statuses if row.tag == "canary")
    response = await http.get(f"{tagged.uri}/health/{page}")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "score": 1.0, "revision": CANDIDATE}


async def test_a_tag_answers_only_once_it_is_observed(google: Google, http: httpx.AsyncClient) -> None:
    google.sandbox.faults.reconcile_seconds = 60
    await google.update(["traffic"], traffic=[to(await google.stable(), 100, "canary")])

    assert (await http.get("/run/canary---backend/health/overall")).status_code == 404


async def test_an_unhealthy_image_answers_503_where_it_serves(google: Google, http: httpx.AsyncClient) -> None:
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(unhealthy=True))
    await google.deploy(0, tag="canary")
    candidate = await http.get("/run/canary---backend/health/overall")
    stable = await http.get("/run/backend/health/overall")

    assert candidate.status_code == 503
    assert candidate.json() == {"status": "unhealthy", "score": 0.0, "revision": CANDIDATE}
    assert (stable.status_code, stable.json()["revision"]) == (200, await google.stable())


async def test_the_services_own_url_is_answered_by_the_observed_split(google: Google, http: httpx.AsyncClient) -> None:
    await google.deploy(50)
    answers = [(await http.get("/run/backend/health/overall")).json()["revision"] for _ in range(100)]

    assert 20 < answers.count(CANDIDATE) < 80


async def test_a_breach_of_isolation_lowers_the_score(google: Google, http: httpx.AsyncClient) -> None:
    await google.sandbox.set_behaviour(OLD_IMAGE, Behaviour(isolation_violation_rate=0.25))
    response = await http.get("/run/backend/health/isolation")

    assert response.status_code == 200
    assert response.json()["score"] == 0.75
    assert response.json()["status"] == "degraded"


async def test_a_name_in_two_regions_is_not_guessed_at(http: httpx.AsyncClient) -> None:
    await answer(http, "PUT", f"/services/{PROJECT}/europe-west1/backend", {"image": OLD_IMAGE})
    status, refusal = await answer(http, "GET", "/run/backend/health/overall")

    assert status == 409
    assert "europe-west1" in refusal["error"]
