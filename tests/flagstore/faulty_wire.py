"""A wire between a client and a server that can go silent, lose an answer, or break. What it carries is untouched."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from local.ports import LOOPBACK

CHUNK = 65_536
WRITES = b"\r\nEVAL\r\n"
"""What a request contains that changes flags: each change is one script."""


class FaultyWire:
    """Connections made while the wire is silent stay silent; so do those that `silence_present_connections` found."""

    def __init__(self, target_port: int, writes: bytes = WRITES) -> None:
        self._target = target_port
        self._writes = writes
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._muted: set[socket.socket] = set()
        self._silent = False
        self._answers_to_lose = 0
        self._requests_to_tear = 0
        self._acknowledging = True
        self._unacknowledged: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def silence(self) -> None:
        """Nothing comes through in either direction, on any connection; nobody is told."""
        with self._lock:
            self._silent = True

    def speak(self) -> None:
        """New connections work again; those that lost bytes are broken for good."""
        with self._lock:
            self._silent = False

    def silence_present_connections(self) -> None:
        with self._lock:
            self._muted |= {side for pair in self._pairs for side in pair}

    def lose_next_answer(self) -> None:
        """The next request reaches the server; when its answer comes, the connection breaks instead."""
        with self._lock:
            self._answers_to_lose += 1

    def acknowledge_writes(self, acknowledging: bool) -> None:
        """While it does not, every write reaches the server, and instead of its answer the connection breaks."""
        with self._lock:
            self._acknowledging = acknowledging

    def tear_next_request(self) -> None:
        """Only the first half of the next request reaches the server, then the connection breaks."""
        with self._lock:
            self._requests_to_tear += 1

    def lead_to(self, target_port: int) -> None:
        """Break every connection; new ones lead to another server, as after a failover behind one address."""
        with self._lock:
            self._target = target_port
        self.cut()

    def cut(self) -> None:
        """Break every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection((LOOPBACK, self._target))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._pairs.append((near, far))
                    if self._silent:
                        self._muted |= {near, far}
                threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                with self._lock:
                    if self._silent or source in self._muted:
                        self._muted |= {source, sink}
                        continue
                    if not is_answer and not self._acknowledging and self._writes in data:
                        self._unacknowledged.add(sink)
                    lose_any = is_answer and self._answers_to_lose > 0
                    self._answers_to_lose -= lose_any
                    lose = lose_any or (is_answer and source in self._unacknowledged)
                    tear = not is_answer and self._requests_to_tear > 0
                    self._requests_to_tear -= tear
                if lose:
                    break
                if tear:
                    sink.sendall(data[: len(data) // 2])
                    break
                sink.sendall(data)
        _close(source, sink)


def _close(*sides: socket.socket) -> None:
    for side in sides:
        # A shutdown wakes the thread that reads; closing alone would leave it waiting.
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
        side.close()


@contextmanager
def wire_to(port: int, writes: bytes = WRITES) -> Iterator[FaultyWire]:
    """`writes` is what a request contains whose answer can be kept back."""
    with FaultyWire(port, writes) as wire:
        yield wire
