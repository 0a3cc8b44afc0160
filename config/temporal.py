"""The one way to Temporal: the SDK's environment configuration, one data converter, one time limit."""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile

from config.data_converter import DATA_CONVERTER
from config.settings import LARGEST_PORT, SettingsError, host_of
from rollout.field_problems import shown

CONNECT_TIMEOUT = timedelta(seconds=5)
_HANDSHAKE_SECONDS = 2.0
DEFAULT_ADDRESS = "localhost:7233"

_SPEAKS_NO_TLS, _SPEAKS_NO_HTTP2 = "InvalidMessage(", "H2NotNegotiated"
_CERTIFICATE = re.compile(r"InvalidCertificate\((UnknownIssuer|NotValidForName|\w+)")
"""What the client's library says of an answer that is no TLS, that is no HTTP/2, or that is not to be trusted.

Of a certificate it may say more than these names: `NotValidForNameContext`.
"""
_TO_TRUST = {
    "UnknownIssuer": "is of an authority that is not known here: set TEMPORAL_TLS_SERVER_CA_CERT_PATH to that one's",
    "NotValidForName": "is for another name: set TEMPORAL_ADDRESS to the name in it, or TEMPORAL_TLS_SERVER_NAME",
}
_SAID = re.compile(r'(?:message|error): "([^"]+)"')


class TemporalMisconfigured(SettingsError):  # noqa: N818  (named as what is the case)
    """Temporal's own variables, or the profile that they name, are wrong, or not meant for the server that answers."""


class TemporalUnreachable(ConnectionError):  # noqa: N818  (named as what is the case)
    """No Temporal server answered. The text says where it was looked for and what can be done."""


async def connect(environment: Mapping[str, str] | None = None) -> Client:
    """A client as the environment (or the one given) configures it: address, namespace, API key, TLS, profile.

    Raises:
        TemporalMisconfigured: the configuration cannot be read or used: an unknown profile, an address that is none,
            TLS where the server speaks none or the other way round, a certificate of an authority that is not known.
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
        tls = bool(options.get("tls"))
        if (wrong := _wrong_with_tls(str(failure)) if tls else await _wrong_without_tls(address)) is not None:
            raise TemporalMisconfigured(f"{address} (TEMPORAL_ADDRESS) {wrong}") from failure
        raise TemporalUnreachable(_nothing_answers(address, _said_at_last(str(failure)))) from failure


def _misconfigured(failure: Exception) -> TemporalMisconfigured:
    return TemporalMisconfigured(f"Temporal's configuration (TEMPORAL_…, TEMPORAL_PROFILE): {failure}")


def _wrong_with_tls(said: str) -> str | None:
    """What to set where a server that was asked with TLS does not speak it, or not as somebody who is trusted."""
    if _SPEAKS_NO_TLS in said:
        return (
            "was asked with TLS, and what answers there speaks none: set TEMPORAL_TLS=false (TEMPORAL_API_KEY, other "
            "TEMPORAL_TLS_… variables and a profile may turn TLS on), or the address of a server that speaks it"
        )
    if (certificate := _CERTIFICATE.search(said)) is not None and certificate[1] in _TO_TRUST:
        return f"was asked with TLS, and its certificate {_TO_TRUST[certificate[1]]}"
    return None


async def _wrong_without_tls(address: str) -> str | None:
    """What to set where a server speaks TLS and was asked without. How it fails then says nothing: so it is asked."""
    if not await asyncio.to_thread(_speaks_tls, address):
        return None
    return (
        "was asked without TLS, and what answers there speaks it: set TEMPORAL_TLS=true (or TEMPORAL_API_KEY, which "
        "turns TLS on; TEMPORAL_TLS_SERVER_CA_CERT_PATH for a private authority)"
    )


def _speaks_tls(address: str) -> bool:
    host, _, port = address.rpartition(":")
    any_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    any_certificate.check_hostname, any_certificate.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_HANDSHAKE_SECONDS) as plain,
            any_certificate.wrap_socket(plain),
        ):
            return True
    except (OSError, UnicodeError):  # a timeout, what `ssl` raises, and a name that no host can have
        return False


def _said_at_last(text: str) -> str:
    """What the system said, out of the names of all the layers that the client's library wraps around it."""
    if _SPEAKS_NO_HTTP2 in text:
        return "what answers there speaks TLS, but not HTTP/2 as Temporal does"
    if (certificate := _CERTIFICATE.search(text)) is not None:
        return f"its certificate is not accepted: {certificate[1]}"
    said = _SAID.findall(text)
    return str(said[-1]) if said else text


def _nothing_answers(address: str, why: str) -> str:
    return (
        f"no Temporal server answers at {address} (TEMPORAL_ADDRESS): {why}. "
        "`rollout local` starts one on this machine; then source .rollout/local.env"
    )
