"""Secrets that a rollout counts on: whether they are there and enabled. No value is ever read."""

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import secretmanager_v1
from pydantic import BaseModel, ConfigDict
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure, refusal

READ_SECONDS = 5.0
"""How long one answer may take."""


class CheckSecret(BaseModel):
    """A version that must be enabled, by its full name. `title` names it for people: `secret db-password (latest)`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str


class SecretActivities:
    def __init__(self, secrets: secretmanager_v1.SecretManagerServiceAsyncClient) -> None:
        self._secrets = secrets

    @activity.defn
    async def check_secret(self, check: CheckSecret) -> None:
        """Ask for the version's state, which needs `secretmanager.versions.get` and no access to the value.

        Raises:
            ApplicationError: Unhealthy, retryable: it is not there, or not enabled; somebody may mend it meanwhile.
                NotAllowed or InvalidRequest, not retryable; SourceFailure, retryable.
        """
        try:
            version = await self._secrets.get_secret_version(
                request=secretmanager_v1.GetSecretVersionRequest(name=check.name), retry=None, timeout=READ_SECONDS
            )
        except NotFound as error:
            raise ApplicationError(
                f"{check.title}: {check.name} is not there ({error.message})", type=Failure.UNHEALTHY
            ) from error
        except GoogleAPIError as error:
            raise refusal(error, f"{check.title}: reading the state of {check.name}") from error
        if version.state is not secretmanager_v1.SecretVersion.State.ENABLED:
            raise ApplicationError(
                f"{check.title}: {version.name} is {version.state.name}, wanted ENABLED", type=Failure.UNHEALTHY
            )
