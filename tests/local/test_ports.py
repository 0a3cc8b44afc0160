"""A port must be there again for a server that was down for a while."""

import socket
from contextlib import closing

from local.ports import LOOPBACK, free_port

CHOSEN = 50


def test_no_chosen_port_is_one_that_outgoing_connections_are_given() -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as listening:
        given = []
        for _ in range(CHOSEN):
            with socket.create_connection(listening.getsockname()) as outgoing:
                given.append(outgoing.getsockname()[1])

    assert max(free_port() for _ in range(CHOSEN)) < min(given)


def test_a_chosen_port_can_be_listened_on() -> None:
    with closing(socket.create_server((LOOPBACK, free_port()))) as listening:
        assert listening.getsockname()[1]
