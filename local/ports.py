"""Free ports of this machine, so that two runs never collide."""

import secrets
import socket

LOOPBACK = "127.0.0.1"

_CHOSEN_FROM = range(16_000, 32_000)
"""Below those that systems give to outgoing connections (Linux from 32768, others from 49152). A server that was down
for a while must find its port again, and a client that asks for it in vain could be given the very port it asks for.
"""


def free_port() -> int:
    """A TCP port that nothing listens on now, and that no outgoing connection takes.

    Raises:
        OSError: none is free.
    """
    for _ in _CHOSEN_FROM:
        port = secrets.choice(_CHOSEN_FROM)
        if is_free(port):
            return port
    raise OSError(f"no port from {_CHOSEN_FROM.start} to {_CHOSEN_FROM.stop - 1} is free on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port, and no outgoing connection can take it meanwhile."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return port in _CHOSEN_FROM


def answers(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
