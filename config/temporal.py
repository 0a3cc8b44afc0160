"""The one way to Temporal: the SDK's environment configuration, one data converter, one time limit."""

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile

from config.data_converter import DATA_CONVERTER
from config.settings import LARGEST_PORT, SettingsError, host_of
from rollout.field_problems import shown

CONNECT_TIMEOUT = timedelta(seconds=5)
DEFAULT_ADDRESS = "localhost:7233"

_SAID = re.compile(r'(?:message|error): "([^"]+)"')


class TemporalMisconfigured(SettingsError):  # noqa: N818  (named as what is the case)
    """Temporal's own variables, or the profile that they name, are wrong: nothing was asked of any server."""


class TemporalUnreachable(ConnectionError):  # noqa: N818  (named as what is the case)
    """No Temporal server answered. The text says where it was looked for and what can be done."""


async def connect(environment: Mapping[str, str] | None = None) -> Client:
    """A client as the environment (or the one given) configures it: address, namespace, API key, TLS, profile.

    Raises:
        TemporalMisconfigured: the configuration cannot be read or used: an unknown profile, an address that is none.
        TemporalUnreachable: nothing answers as Temporal within `CONNECT_TIMEOUT`.
    """
    try:
        profile = ClientConfigProfile.load(override_env_vars=environment)
        options = profile.to_client_connect_config()
    except (RuntimeError, OSError) as failure:
        raise _misconfigured(failure) from failure
    address = options.setdefault("target_host", DEFAULT_ADDRESS)
    if host_of(address) is None:
        raise TemporalMisconfigured(
            f"TEMPORAL_ADDRESS (or the address of a profile) {shown(address)}: expected host:port, for example "
            f"127.0.0.1:7233, the port from 1 to {LARGEST_PORT}"
        )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
            return await Client.connect(**options, data_converter=DATA_CONVERTER, connect_timeout=CONNECT_TIMEOUT)
    except TimeoutError:
        raise TemporalUnreachable(
            _nothing_answers(address, f"no answer within {CONNECT_TIMEOUT.total_seconds():g} s")
        ) from None
    except ValueError as failure:
        raise _misconfigured(failure) from failure
    except RuntimeError as failure:
        raise TemporalUnreachable(_nothing_answers(address, _said_at_last(str(failure)))) from failure


def _misconfigured(failure: Exception) -> TemporalMisconfigured:
    return TemporalMisconfigured(f"Temporal's configuration (TEMPORAL_…, TEMPORAL_PROFILE): {failure}")


def _said_at_last(text: str) -> str:
    """What the system said, out of the names of all the layers that the client's library wraps around it."""
    said = _SAID.findall(text)
    return str(said[-1]) if said else text


def _nothing_answers(address: str, why: str) -> str:
    return (
        f"no Temporal server answers at {address} (TEMPORAL_ADDRESS): {why}. "
        "`rollout local` starts one on this machine; then source .rollout/local.env"
    )
