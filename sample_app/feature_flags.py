"""Which users have the new features: asked of the project's provider through OpenFeature, as any application would."""

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from flagstore.provider import RolloutProvider
from rollout.cohorts import NOBODY
from sample_app.configuration import Configuration

REQUEST_ISOLATION = "request_isolation"
FACTORY_PATTERN = "factory_pattern"
WEBSOCKET_ISOLATION = "websocket_isolation"
_DOMAIN = "sample-app"


class FeatureFlags:
    """Everybody is on the legacy path where no flag store is configured. `close` ends the provider's threads."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = None
        self._steps = configuration.cohort_steps
        self._provider: RolloutProvider | None = None
        if configuration.redis_url is not None and configuration.flag_group is not None:
            environment, _, group = configuration.flag_group.partition(":")
            self._provider = RolloutProvider(
                configuration.redis_url, environment, group, instance=configuration.revision
            )
            api.set_provider_and_wait(self._provider, domain=_DOMAIN)
            self._client = api.get_client(domain=_DOMAIN)

    def is_on(self, flag: str, user: str, email: str | None) -> bool:
        if self._client is None:
            return False
        context = EvaluationContext(user, {} if email is None else {"email": email})
        return self._client.get_boolean_value(flag, False, context)

    def cohort(self, user: str, email: str | None) -> str:
        """Which part of the rollout's cohort the user is in, whether or not anybody is exposed."""
        return NOBODY if self._provider is None else self._provider.flags.cohort(user, email, steps=self._steps)

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()
