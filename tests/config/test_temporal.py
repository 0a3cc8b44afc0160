import socket
import time

import pytest

from config import temporal
from config.settings import SettingsError
from config.temporal import TemporalMisconfigured, TemporalUnreachable, connect


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
