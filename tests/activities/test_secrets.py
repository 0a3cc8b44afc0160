"""A secret check over the wire: what is enabled passes, everything else is named, and no value is asked for."""

from collections.abc import AsyncIterator

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import Failure
from activities.google_clients import google_clients
from activities.secrets import CheckSecret, SecretActivities
from rollout.plan_parts import SecretCheck
from sandbox.faults import Fault
from sandbox.options import InstalledSecret, SandboxOptions
from sandbox.secrets import DESTROYED, DISABLED
from sandbox.server import Sandbox

PROJECT, VALUE = "shop-production", "opensesame"


class Ground:
    def __init__(self, sandbox: Sandbox, activities: SecretActivities) -> None:
        self.sandbox = sandbox
        self._activities = activities

    async def check(self, name: str = "db-password", version: str = "latest") -> None:
        asked = SecretCheck(kind="secret", project=PROJECT, name=name, version=version)
        await ActivityEnvironment().run(
            self._activities.check_secret, CheckSecret(name=asked.version_name, title=f"secret {name} ({version})")
        )

    async def refused(self, name: str = "db-password", version: str = "latest") -> ApplicationError:
        with pytest.raises(ApplicationError) as failed:
            await self.check(name, version)
        assert VALUE not in str(failed.value)
        return failed.value

    async def move(self, number: int, state: int) -> None:
        version = self.sandbox.secrets.version(f"projects/{PROJECT}/secrets/db-password/versions/{number}")
        await self.sandbox.secrets.set_state(version, state)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    versions = tuple(InstalledSecret.parse(f"{PROJECT}/db-password={VALUE}{number}") for number in (1, 2))
    async with Sandbox.started(SandboxOptions(secrets=versions)) as sandbox:
        # Whoever asked for a value would be told that it is denied.
        sandbox.faults.put(Fault(method="AccessSecretVersion", code="PERMISSION_DENIED"))
        google = google_clients(sandbox.grpc_target)
        try:
            yield Ground(sandbox, SecretActivities(google.secrets))
        finally:
            await google.close()


async def test_an_enabled_version_passes_without_access_to_its_value(ground: Ground) -> None:
    await ground.check()
    await ground.check(version="1")


@pytest.mark.parametrize(("state", "named"), [(DISABLED, "DISABLED"), (DESTROYED, "DESTROYED")])
async def test_a_version_that_cannot_be_read_by_anybody_is_named_with_its_state(
    ground: Ground, state: int, named: str
) -> None:
    await ground.move(2, state)
    refused = await ground.refused()

    assert (refused.type, refused.non_retryable) == (Failure.UNHEALTHY, False)
    assert refused.message.startswith("secret db-password (latest): projects/")
    assert refused.message.endswith(f"/secrets/db-password/versions/2 is {named}, wanted ENABLED")
    await ground.check(version="1")


@pytest.mark.parametrize(("name", "version"), [("no-such", "latest"), ("db-password", "3")])
async def test_what_is_not_there_is_named_and_may_still_come(ground: Ground, name: str, version: str) -> None:
    refused = await ground.refused(name, version)

    assert (refused.type, refused.non_retryable) == (Failure.UNHEALTHY, False)
    assert f"projects/{PROJECT}/secrets/{name}/versions/{version} is not there" in refused.message


@pytest.mark.parametrize(
    ("code", "kind", "final", "said"),
    [
        ("PERMISSION_DENIED", Failure.NOT_ALLOWED, True, "Permission 'secretmanager.versions.get' denied"),
        ("UNAVAILABLE", Failure.SOURCE_FAILURE, False, "UNAVAILABLE: injected"),
    ],
)
async def test_a_secret_manager_that_does_not_answer_is_told_apart_from_one_that_denies(
    ground: Ground, code: str, kind: Failure, final: bool, said: str
) -> None:
    ground.sandbox.faults.put(Fault(method="GetSecretVersion", code=code))
    refused = await ground.refused()

    assert (refused.type, refused.non_retryable) == (kind, final)
    assert "secret db-password (latest)" in refused.message
    assert said in refused.message
