"""Secret Manager as a rollout's checks meet it: with both unmodified clients, states, refusals, pages and checksums."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions

from sandbox.checksums import crc32c
from sandbox.faults import Fault
from tests import patient_http
from tests.sandbox.google import INSTALLED, PROJECT
from tests.sandbox.secret_manager_clients import ANSWERED, ASKED, NUMBER, VALUE, Secrets, State, secrets_by


@pytest.fixture(params=["sync", "async"])
async def secrets(request: pytest.FixtureRequest) -> AsyncIterator[Secrets]:
    async with secrets_by(request.param) as asked:
        yield asked


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283


async def test_an_installed_secret_has_one_enabled_version_under_the_projects_number(secrets: Secrets) -> None:
    secret = await secrets.call("get_secret", name=ASKED)
    version = await secrets.call("get_secret_version", name=f"{ASKED}/versions/latest")

    assert secret.name == ANSWERED
    assert "automatic" in secret.replication
    assert secret.etag.startswith('"')
    assert version.name == f"{ANSWERED}/versions/1"
    assert version.state is State.ENABLED
    assert "automatic" in version.replication_status
    assert not version.client_specified_payload_checksum
    assert version.create_time.replace(tzinfo=UTC) <= datetime.now(UTC)
    assert await secrets.call("get_secret", name=ANSWERED) == secret


async def test_a_value_is_accessed_with_its_checksum_and_the_number_that_latest_means(secrets: Secrets) -> None:
    accessed = await secrets.call("access_secret_version", name=f"{ASKED}/versions/latest")

    assert accessed.name == f"{ANSWERED}/versions/1"
    assert accessed.payload.data == VALUE.encode()
    assert accessed.payload.data_crc32c == crc32c(VALUE.encode())


async def test_a_new_version_is_the_latest_one_and_the_old_one_stays(secrets: Secrets) -> None:
    payload = {"data": b"second", "data_crc32c": crc32c(b"second")}
    added = await secrets.call("add_secret_version", parent=ASKED, payload=payload)
    latest = await secrets.call("access_secret_version", name=f"{ASKED}/versions/latest")
    first = await secrets.call("access_secret_version", name=f"{ASKED}/versions/1")

    assert added.client_specified_payload_checksum
    assert (latest.name, latest.payload.data) == (f"{ANSWERED}/versions/2", b"second")
    assert first.payload.data == VALUE.encode()


async def test_a_disabled_version_is_read_but_not_accessed_until_it_is_enabled(secrets: Secrets) -> None:
    disabled = await secrets.call("disable_secret_version", name=f"{ASKED}/versions/1")
    with pytest.raises(exceptions.FailedPrecondition) as refused:
        await secrets.call("access_secret_version", name=f"{ASKED}/versions/latest")
    enabled = await secrets.call("enable_secret_version", name=f"{ASKED}/versions/1")
    accessed = await secrets.call("access_secret_version", name=f"{ASKED}/versions/1")

    assert disabled.state is State.DISABLED
    assert refused.value.message == f"Secret Version [{ANSWERED}/versions/1] is in DISABLED state."
    assert enabled.state is State.ENABLED
    assert accessed.payload.data == VALUE.encode()


async def test_latest_is_the_newest_version_even_where_only_an_older_one_is_enabled(secrets: Secrets) -> None:
    await secrets.call("add_secret_version", parent=ASKED, payload={"data": b"second"})
    await secrets.call("destroy_secret_version", name=f"{ASKED}/versions/2")

    version = await secrets.call("get_secret_version", name=f"{ASKED}/versions/latest")
    with pytest.raises(exceptions.FailedPrecondition, match="is in DESTROYED state"):
        await secrets.call("access_secret_version", name=f"{ASKED}/versions/latest")
    assert version.name == f"{ANSWERED}/versions/2"


@pytest.mark.parametrize("change", ["enable", "disable", "destroy"])
async def test_a_destroyed_version_never_changes_again(secrets: Secrets, change: str) -> None:
    destroyed = await secrets.call("destroy_secret_version", name=f"{ASKED}/versions/1")
    with pytest.raises(exceptions.FailedPrecondition) as refused:
        await secrets.call(f"{change}_secret_version", name=f"{ASKED}/versions/1")

    assert destroyed.state is State.DESTROYED
    assert destroyed.destroy_time
    assert refused.value.message == f"Secret Version [{ANSWERED}/versions/1] is in DESTROYED state."


@pytest.mark.parametrize(
    ("method", "request_", "said"),
    [
        (
            "get_secret",
            {"name": f"projects/{PROJECT}/secrets/none"},
            f"Secret [projects/{NUMBER}/secrets/none] not found.",
        ),
        (
            "access_secret_version",
            {"name": f"projects/{PROJECT}/secrets/none/versions/latest"},
            f"Secret [projects/{NUMBER}/secrets/none] not found or has no versions.",
        ),
        (
            "get_secret_version",
            {"name": f"{ASKED}/versions/7"},
            f"Secret Version [{ANSWERED}/versions/7] not found.",
        ),
        ("get_secret_version", {"name": f"{ASKED}/versions/0"}, f"Secret Version [{ANSWERED}/versions/0] not found."),
        ("list_secret_versions", {"parent": f"projects/{PROJECT}/secrets/none"}, "not found."),
        ("add_secret_version", {"parent": f"projects/{PROJECT}/secrets/none", "payload": {"data": b"x"}}, "not found."),
    ],
)
async def test_what_is_not_there_is_not_found_in_googles_words(
    secrets: Secrets, method: str, request_: dict[str, Any], said: str
) -> None:
    with pytest.raises(exceptions.NotFound) as refused:
        await secrets.call(method, **request_)

    assert refused.value.message.endswith(said)


async def test_a_secret_is_made_once_has_no_version_at_first_and_is_deleted(secrets: Secrets) -> None:
    made = {"parent": f"projects/{PROJECT}", "secret_id": "api_Key-1", "secret": {"replication": {"automatic": {}}}}
    secret = await secrets.call("create_secret", **made)
    with pytest.raises(exceptions.AlreadyExists) as twice:
        await secrets.call("create_secret", **made)
    with pytest.raises(exceptions.NotFound, match="not found or has no versions"):
        await secrets.call("access_secret_version", name=f"{secret.name}/versions/latest")
    await secrets.call("delete_secret", name=secret.name)
    with pytest.raises(exceptions.NotFound):
        await secrets.call("get_secret", name=secret.name)

    assert secret.name == f"projects/{NUMBER}/secrets/api_Key-1"
    assert twice.value.message == f"Secret [{secret.name}] already exists."


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("create_secret", {"parent": f"projects/{PROJECT}", "secret_id": "a.b"}, "secret_id"),
        ("create_secret", {"parent": f"projects/{PROJECT}", "secret_id": "a" * 256}, "secret_id"),
        ("create_secret", {"parent": PROJECT, "secret_id": "a"}, "CreateSecretRequest.parent"),
        ("add_secret_version", {"parent": ASKED, "payload": {"data": b""}}, "payload.data"),
        ("add_secret_version", {"parent": ASKED, "payload": {"data": b"x" * (64 * 1024 + 1)}}, "payload.data"),
        ("add_secret_version", {"parent": ASKED, "payload": {"data": b"x", "data_crc32c": 1}}, "payload.data_crc32c"),
        ("disable_secret_version", {"name": f"{ASKED}/versions/latest"}, "name"),
        ("get_secret_version", {"name": ASKED}, "name"),
        ("list_secrets", {"parent": f"projects/{PROJECT}", "filter": "labels.x=y"}, "filter"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field_in_the_details(
    secrets: Secrets, method: str, request_: dict[str, Any], field: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument) as refused:
        await secrets.call(method, **request_)

    (details,) = refused.value.details
    assert [violation.field for violation in details.field_violations] == [field]


async def test_an_etag_of_before_is_refused_for_every_change_and_the_present_one_is_taken(secrets: Secrets) -> None:
    name = f"{ASKED}/versions/1"
    stale = (await secrets.call("get_secret_version", name=name)).etag
    present = (await secrets.call("enable_secret_version", name=name)).etag
    assert present != stale  # also a change that changes nothing makes a new one
    for change in ("enable", "disable", "destroy"):
        with pytest.raises(exceptions.FailedPrecondition, match="etag"):
            await secrets.call(f"{change}_secret_version", name=name, etag=stale)
    with pytest.raises(exceptions.FailedPrecondition, match="etag"):
        await secrets.call("delete_secret", name=ASKED, etag=stale)

    disabled = await secrets.call("disable_secret_version", name=name, etag=present)
    await secrets.call("delete_secret", name=ASKED, etag=(await secrets.call("get_secret", name=ASKED)).etag)
    assert disabled.state is State.DISABLED


async def test_secrets_and_versions_are_listed_newest_first_page_by_page(secrets: Secrets) -> None:
    parent = f"projects/{PROJECT}"
    for number in range(4):
        await secrets.call("create_secret", parent=parent, secret_id=f"extra-{number}", secret={})
        await secrets.call("add_secret_version", parent=ASKED, payload={"data": b"%d" % number})
    await secrets.call("disable_secret_version", name=f"{ASKED}/versions/3")

    found = await secrets.listed("list_secrets", parent=parent, page_size=2)
    named = await secrets.listed("list_secrets", parent=parent, filter="name:extra")
    versions = await secrets.listed("list_secret_versions", parent=ASKED, page_size=2)
    disabled = await secrets.listed("list_secret_versions", parent=ASKED, filter="state:DISABLED")
    elsewhere = await secrets.listed("list_secrets", parent="projects/another")

    assert [each.name.rpartition("/")[2] for each in found] == [*(f"extra-{n}" for n in (3, 2, 1, 0)), "db-password"]
    assert len(named) == 4
    assert [each.name.rpartition("/")[2] for each in versions] == ["5", "4", "3", "2", "1"]
    assert [each.name.rpartition("/")[2] for each in disabled] == ["3"]
    assert elsewhere == []


async def test_who_lacks_a_permission_is_told_which_and_on_what(secrets: Secrets) -> None:
    secrets.google.sandbox.faults.put(Fault(method="GetSecretVersion", code="PERMISSION_DENIED", count=1))
    name = f"{ASKED}/versions/latest"
    with pytest.raises(exceptions.PermissionDenied) as refused:
        await secrets.call("get_secret_version", name=name)

    assert refused.value.message == (
        f"Permission 'secretmanager.versions.get' denied for resource '{name}' (or it may not exist)."
    )
    assert refused.value.reason == "IAM_PERMISSION_DENIED"
    assert refused.value.domain == "iam.googleapis.com"
    assert refused.value.metadata == {"permission": "secretmanager.versions.get", "resource": name}


@pytest.mark.parametrize(
    ("code", "raised"),
    [("UNAVAILABLE", exceptions.ServiceUnavailable), ("INTERNAL", exceptions.InternalServerError)],
)
async def test_faults_hit_a_method_of_secret_manager_as_any_other(
    secrets: Secrets, code: str, raised: type[Exception]
) -> None:
    secrets.google.sandbox.faults.put(Fault(method="AddSecretVersion", code=code, count=1, after_commit=True))
    with pytest.raises(raised, match="injected"):
        await secrets.call("add_secret_version", parent=ASKED, payload={"data": b"second"})

    assert (await secrets.call("get_secret_version", name=f"{ASKED}/versions/latest")).name.endswith("/versions/2")


async def test_over_http_secrets_are_added_switched_and_deleted_and_no_value_is_ever_shown(
    secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"/secrets/{PROJECT}/db-password"
    shown: list[str] = []
    async with patient_http.async_client(base_url=secrets.google.sandbox.http_url) as http:

        async def ask(method: str, where: str, body: Any = None) -> Any:
            response = await http.request(method, where, json=body)
            shown.append(response.text)
            return response.json()

        described = await ask("PUT", path, {"value": f"{VALUE}-2"})
        assert described == {"name": ASKED, "versions": {"1": "ENABLED", "2": "ENABLED"}}
        described = await ask("PUT", f"{path}/versions/latest", {"state": "DISABLED"})
        assert described["versions"]["2"] == "DISABLED"
        with pytest.raises(exceptions.FailedPrecondition):
            await secrets.call("access_secret_version", name=f"{ASKED}/versions/latest")
        assert await ask("GET", "/secrets") == [described]
        for wrong in ({"value": [f"{VALUE}-3"]}, {"value": VALUE, "more": VALUE}, {}, [VALUE], {"value": VALUE * 9999}):
            assert "error" in await ask("PUT", path, wrong)
        assert "error" in await ask("PUT", f"{path}/versions/1", {"state": VALUE})
        assert "not found" in (await ask("PUT", f"{path}/versions/9", {"state": "ENABLED"}))["error"]
        assert await ask("DELETE", path) == []
        assert "not found" in (await ask("DELETE", path))["error"]

    assert len(shown) == 12
    assert VALUE not in "".join(shown)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("sandbox")]
    assert VALUE not in "".join(ours)
    assert VALUE not in repr(INSTALLED)
