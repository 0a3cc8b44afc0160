"""The secrets of a local sandbox: what its plans check, with made-up values, and what a person gives it.

They go over HTTP, so that no value stands in a command line that others can list.
"""

from collections.abc import Sequence

import httpx
from pydantic import SecretStr, ValidationError

from rollout.plan import RolloutPlan
from rollout.plan_parts import SecretCheck
from sandbox.options import InstalledSecret

ANSWERS_WITHIN_SECONDS = 60.0
"""Of the sandbox: on a machine that is busy with other things it may be long until it gets to it."""
_MADE_UP = "made up by rollout local"


def read_secret(text: str) -> InstalledSecret:
    """Read `PROJECT/NAME=VALUE`.

    Raises:
        ValueError: it is something else, or not allowed; the text repeats no value.
    """
    try:
        return InstalledSecret.parse(text)
    except ValidationError as wrong:
        problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors(include_input=False))
        raise ValueError("; ".join(problems)) from None


def secrets_of(plans: Sequence[RolloutPlan]) -> list[InstalledSecret]:
    """A made-up value for every secret that a check of the plans asks for."""
    checks = [check for plan in plans for check in plan.checks if isinstance(check, SecretCheck)]
    names = dict.fromkeys((check.project, check.name) for check in checks)
    return [InstalledSecret(project=project, name=name, value=SecretStr(_MADE_UP)) for project, name in names]


def install(url: str, secrets: Sequence[InstalledSecret]) -> None:
    """Give the sandbox at `url` those of the secrets that it does not have.

    Raises:
        httpx.HTTPError: it does not answer, or refuses one.
    """
    with httpx.Client(base_url=url, timeout=ANSWERS_WITHIN_SECONDS) as sandbox:
        there = {secret["name"] for secret in sandbox.get("/secrets").raise_for_status().json()}
        for secret in secrets:
            if f"projects/{secret.project}/secrets/{secret.name}" not in there:
                value = {"value": secret.value.get_secret_value()}
                sandbox.put(f"/secrets/{secret.project}/{secret.name}", json=value).raise_for_status()
                there.add(f"projects/{secret.project}/secrets/{secret.name}")
