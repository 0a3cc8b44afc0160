"""The users of a load test. Only `python -m loadtest` may import this: Locust patches the whole process for gevent."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from random import Random
from time import monotonic, perf_counter
from urllib.parse import urlsplit

from locust import FastHttpUser, User, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.exception import StopUser
from websocket import (
    ABNF,
    STATUS_GOING_AWAY,
    STATUS_NORMAL,
    WebSocket,
    WebSocketException,
    WebSocketTimeoutException,
    create_connection,
)

from loadtest.tally import Tally
from rollout.load_answers import field_of, object_in, text_at
from rollout.load_test import LoadTest

LONGEST_ANSWER_SECONDS = 30.0
SESSION_SECONDS = (10.0, 20.0)
"""A session lasts between these; then its user comes back and names the last event, as after any broken connection."""
LISTEN_SECONDS = 0.5
"""How often a user who hears nothing looks whether the session is over."""
CLOSING_SECONDS = 1
SERVICE_RESTART = 1012
"""What a server closes with whose traffic moved: the user comes back, and nothing is wrong."""
EXPECTED_CLOSES = (STATUS_NORMAL, STATUS_GOING_AWAY, SERVICE_RESTART)
LISTENERS_SHARE = 0.25
PROBERS_SHARE = 0.05
SESSIONS = "WebSocket sessions"
_RANDOM = Random()  # noqa: S311  (pauses)


@dataclass(slots=True, eq=False)
class Attempt:
    """One request while it is under way, and why it failed, if it did."""

    kind: str
    began: float
    failure: str | None = None


class LoadEnvironment(Environment):
    """Locust's environment with the test, what its users meet, and whether it is over."""

    def __init__(self, test: LoadTest) -> None:
        Caller.fixed_count, Listener.fixed_count, Prober.fixed_count = kinds_of(test)
        present: list[type[User]] = [kind for kind in (Caller, Listener, Prober) if kind.fixed_count]
        super().__init__(user_classes=present)
        self.test = test
        self.over = False
        self.listening = 0
        self._under_way: set[Attempt] = set()
        self.numbers = count(1)
        health = test.health_paths if test.mixed_traffic else ()
        sessions = [SESSIONS] if test.mixed_traffic else []
        self.tally = Tally([*dict.fromkeys(f"GET {path}" for path in (test.path, *health)), *sessions])

    @contextmanager
    def measured(self, kind: str) -> Iterator[Attempt]:
        """Count and time one request, whatever becomes of it."""
        attempt = Attempt(kind, perf_counter())
        self._under_way.add(attempt)
        try:
            yield attempt
        finally:
            self._under_way.discard(attempt)
            self._count(attempt)

    @property
    def at_rest(self) -> bool:
        """Whether every request is answered and every session is closed."""
        return not self._under_way and not self.listening

    def give_up(self) -> None:
        """What is still not answered has failed."""
        for attempt in self._under_way:
            attempt.failure = "not answered before the end of the test"
            self._count(attempt)

    def _count(self, attempt: Attempt) -> None:
        self.tally.request(attempt.kind, (perf_counter() - attempt.began) * 1000, attempt.failure)


def kinds_of(test: LoadTest) -> tuple[int, int, int]:
    """How many users ask, listen, and look at health pages."""
    if not test.mixed_traffic:
        return test.concurrent_users, 0, 0
    listeners = max(1, round(test.concurrent_users * LISTENERS_SHARE))
    probers = max(1, round(test.concurrent_users * PROBERS_SHARE)) if test.health_paths else 0
    return test.concurrent_users - listeners - probers, listeners, probers


class SimulatedUser(FastHttpUser):
    """Somebody with a name, an e-mail address and one of the test's addresses."""

    abstract = True
    insecure = False
    network_timeout = LONGEST_ANSWER_SECONDS
    connection_timeout = LONGEST_ANSWER_SECONDS
    environment: LoadEnvironment

    def __init__(self, environment: LoadEnvironment) -> None:
        number = next(environment.numbers)
        self.test = environment.test
        self.tally = environment.tally
        self.host = self.test.urls[number % len(self.test.urls)]
        self.name = f"load-user-{number}"
        domain = self.test.email_domains[number % len(self.test.email_domains)]
        self.identity = {self.test.user_header: self.name, self.test.email_header: f"{self.name}@{domain}"}
        super().__init__(environment)

    def wait_time(self) -> float:
        return _RANDOM.uniform(0.5, 1.5) * self.test.pace.total_seconds()

    def must_go_on(self) -> None:
        """Raises StopUser when the test is over."""
        if self.environment.over:
            raise StopUser

    def get(self, path: str) -> FastResponse:
        with self.environment.measured(f"GET {path}") as attempt:
            response: FastResponse = self.client.get(path, headers=self.identity, allow_redirects=False)
            attempt.failure = failure_of(response)
        return response

    def belongs_to(self, owner: str | None) -> None:
        """What an answer or an event said about whose data it carries."""
        if self.test.monitor_isolation:
            self.tally.carried(owner, user=self.name, url=str(self.host))


class Caller(SimulatedUser):
    """Asks again and again."""

    @task
    def ask(self) -> None:
        self.must_go_on()
        response = self.get(self.test.path)
        owner = self._owner_of(response)
        # What failed need not say anything; what it says counts all the same.
        if owner is not None or failure_of(response) is None:
            self.belongs_to(owner)

    def _owner_of(self, response: FastResponse) -> str | None:
        if self.test.owner_header is not None:
            said = response.headers.get(self.test.owner_header) if response.headers else None
            return None if said is None else str(said)
        return field_of(response.content, self.test.owner_field)


class Prober(SimulatedUser):
    """Looks at the health pages, as a load balancer does."""

    @task
    def look(self) -> None:
        for path in self.test.health_paths:
            self.must_go_on()
            self.get(path)


class Listener(SimulatedUser):
    """Follows numbered events over a WebSocket; comes back after every end of a session and names the last one."""

    def __init__(self, environment: LoadEnvironment) -> None:
        super().__init__(environment)
        self.last: int | None = None

    @task
    def listen(self) -> None:
        self.must_go_on()
        socket = self._accepted()
        if socket is not None:
            self.environment.listening += 1
            try:
                self._follow(socket)
            finally:
                self.environment.listening -= 1
                socket.shutdown()  # type: ignore[no-untyped-call]

    def _accepted(self) -> WebSocket | None:
        with self.environment.measured(SESSIONS) as attempt:
            try:
                return self._connect()
            except (WebSocketException, OSError) as refused:
                attempt.failure = f"WebSocket: {_in_words(refused)}"
        return None

    def _connect(self) -> WebSocket:
        after = "" if self.last is None else f"?after={self.last}"
        url = urlsplit(str(self.host))
        address = url._replace(scheme="wss" if url.scheme == "https" else "ws").geturl()
        connected: WebSocket = create_connection(
            f"{address}{self.test.events_path}{after}",
            timeout=LONGEST_ANSWER_SECONDS,
            header=[f"{name}: {value}" for name, value in self.identity.items()],
        )
        return connected

    def _follow(self, socket: WebSocket) -> None:
        ends = monotonic() + _RANDOM.uniform(*SESSION_SECONDS)
        socket.settimeout(LISTEN_SECONDS)
        while monotonic() < ends and not self.environment.over:
            try:
                kind, data = socket.recv_data()
            except WebSocketTimeoutException:
                continue
            except (WebSocketException, OSError) as failure:
                self.tally.broke(SESSIONS, f"WebSocket: the session broke: {type(failure).__name__}: {failure}")
                return
            if kind == ABNF.OPCODE_CLOSE:
                code = int.from_bytes(data[:2], "big") if data else STATUS_NORMAL
                if code not in EXPECTED_CLOSES:
                    self.tally.broke(SESSIONS, f"WebSocket: the session was closed with {code}")
                return
            if not self._hear(data):
                self.tally.broke(SESSIONS, f"WebSocket: an event has no number in {self.test.event_number_field!r}")
                break
        socket.close(timeout=CLOSING_SECONDS)

    def _hear(self, data: bytes | str) -> bool:
        """Count an event; False where it has no number, so that no loss could be seen."""
        event = object_in(data)
        number = event.get(self.test.event_number_field)
        self.tally.events += 1
        self.belongs_to(text_at(event, self.test.event_owner_field))
        if not isinstance(number, int):
            return False
        if self.last is not None:
            self.tally.events_lost += max(0, number - self.last - 1)
        self.last = number if self.last is None else max(self.last, number)
        return True


def failure_of(response: FastResponse) -> str | None:
    code = response.status_code
    if not code:
        return _in_words(getattr(response, "error", None))
    if HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES:
        return None
    known = code in HTTPStatus.__members__.values()
    return f"{code} {HTTPStatus(code).phrase}" if known else str(code)


def _in_words(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}; the variable SSL_CERT_FILE names whom to trust besides"
    # Behind the mark, the library of WebSockets adds every header of the answer.
    return f"{type(error).__name__}: {str(error).partition(' -+-+- ')[0]}"
