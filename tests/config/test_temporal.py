import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from config import temporal
from config.settings import SettingsError
from config.temporal import TemporalMisconfigured, TemporalUnreachable, connect
from local.ports import LOOPBACK
from tests.binaries import TEMPORAL
from tests.flagstore.certificates import write_certificates
from tests.flagstore.tls_front import tls_in_front_of


async def test_a_refused_connection_says_where_and_what_can_be_done(free_port: int) -> None:
    with pytest.raises(TemporalUnreachable) as refused:
        await connect({"TEMPORAL_ADDRESS": f"127.0.0.1:{free_port}"})
    assert f"no Temporal server answers at 127.0.0.1:{free_port} (TEMPORAL_ADDRESS): Connection refused. " in str(
        refused.value
    )
    assert "`rollout local` starts one" in str(refused.value)


async def test_a_server_that_accepts_and_stays_silent_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "CONNECT_TIMEOUT", temporal.CONNECT_TIMEOUT / 10)

    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TemporalUnreachable, match=r"no answer within 0\.5 s"):
            await connect({"TEMPORAL_ADDRESS": f"127.0.0.1:{port}"})
    assert time.monotonic() - began < 3


async def test_an_unknown_profile_is_a_setting_that_is_wrong() -> None:
    with pytest.raises(SettingsError, match="Profile 'nowhere' not found"):
        await connect({"TEMPORAL_PROFILE": "nowhere"})


NO_ADDRESS = {
    "a name alone": "nonsense",
    "no host": ":7233",
    "no port": "localhost:",
    "port 0": "localhost:0",
    "a port out of range": "localhost:65536",
    "a port that is no number": "localhost:http",
    "an address of the web": "http://localhost:7233",
    "an IPv6 address without brackets": "::1:7233",
    "blanks": "localhost:7233 ",
    "a path": "localhost:7233/default",
}


@pytest.mark.parametrize("address", NO_ADDRESS.values(), ids=NO_ADDRESS)
async def test_an_address_that_is_none_is_a_setting_that_is_wrong_and_told_with_what_is_allowed(address: str) -> None:
    with pytest.raises(TemporalMisconfigured) as refused:
        await connect({"TEMPORAL_ADDRESS": address})
    assert str(refused.value) == (
        f"TEMPORAL_ADDRESS (or the address of a profile) {address!r}: expected host:port, for example 127.0.0.1:7233, "
        "the port from 1 to 65535"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_an_address_where_nobody_listens_is_no_wrong_setting(free_port: int, host: str) -> None:
    with pytest.raises(TemporalUnreachable):
        await connect({"TEMPORAL_ADDRESS": f"{host}:{free_port}"})


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 70}.example"])
async def test_a_name_that_no_host_can_have_is_told_in_a_line_too(host: str) -> None:
    with pytest.raises(TemporalUnreachable, match=rf"^no Temporal server answers at {host}:7233 \(TEMPORAL_ADDRESS\)"):
        await connect({"TEMPORAL_ADDRESS": f"{host}:7233"})


@pytest.fixture
async def plaintext() -> AsyncIterator[str]:
    """The address of a Temporal that speaks no TLS."""
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=str(TEMPORAL)) as environment:
        yield environment.client.service_client.config.target_host


async def what_is_wrong(environment: dict[str, str]) -> str:
    with pytest.raises(TemporalMisconfigured) as refused:
        await connect(environment)
    return str(refused.value)


@pytest.mark.parametrize(
    "asked",
    [{"TEMPORAL_TLS": "true"}, {"TEMPORAL_API_KEY": "a-secret"}, {"TEMPORAL_TLS_SERVER_NAME": "temporal.example"}],
    ids=lambda asked: next(iter(asked)),
)
async def test_tls_with_a_server_that_speaks_none_is_a_setting_that_is_wrong_and_told_in_a_line(
    plaintext: str, asked: dict[str, str]
) -> None:
    wrong = await what_is_wrong({"TEMPORAL_ADDRESS": plaintext, **asked})

    assert wrong == (
        f"{plaintext} (TEMPORAL_ADDRESS) was asked with TLS, and what answers there speaks none: set "
        "TEMPORAL_TLS=false (TEMPORAL_API_KEY, other TEMPORAL_TLS_… variables and a profile may turn TLS on), or the "
        "address of a server that speaks it"
    )
    await connect({"TEMPORAL_ADDRESS": plaintext, **asked, "TEMPORAL_TLS": "false"})


async def test_a_server_that_speaks_tls_and_is_asked_without_or_is_not_to_be_trusted_is_told_with_what_to_set(
    plaintext: str, tmp_path: Path
) -> None:
    certificates = write_certificates(tmp_path)
    async with tls_in_front_of(int(plaintext.rpartition(":")[2]), certificates) as port:
        here, by_name = f"{LOOPBACK}:{port}", f"localhost:{port}"
        trusting = {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(certificates.authority)}

        assert await what_is_wrong({"TEMPORAL_ADDRESS": here}) == (
            f"{here} (TEMPORAL_ADDRESS) was asked without TLS, and what answers there speaks it: set TEMPORAL_TLS=true "
            "(or TEMPORAL_API_KEY, which turns TLS on; TEMPORAL_TLS_SERVER_CA_CERT_PATH for a private authority)"
        )
        assert await what_is_wrong({"TEMPORAL_ADDRESS": here, "TEMPORAL_TLS": "true"}) == (
            f"{here} (TEMPORAL_ADDRESS) was asked with TLS, and its certificate is of an authority that is not known "
            "here: set TEMPORAL_TLS_SERVER_CA_CERT_PATH to that one's"
        )
        assert await what_is_wrong({"TEMPORAL_ADDRESS": by_name, **trusting}) == (
            f"{by_name} (TEMPORAL_ADDRESS) was asked with TLS, and its certificate is for another name: set "
            "TEMPORAL_ADDRESS to the name in it, or TEMPORAL_TLS_SERVER_NAME"
        )
        # The front is no Temporal: it does not offer HTTP/2.
        with pytest.raises(TemporalUnreachable, match="speaks TLS, but not HTTP/2 as Temporal does"):
            await connect({"TEMPORAL_ADDRESS": here, **trusting})
