import socket

import pytest


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on at the moment of asking."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
