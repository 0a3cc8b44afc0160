"""The application as plain ASGI.

`GET /work` serves a user (headers `X-User`, `X-Email`); `/events?after=N` is a WebSocket of numbered events;
`GET /health/{isolation,websocket,factory,overall}`; `GET|PUT|DELETE /faults` with the header `X-Faults-Token`
(`POST` says only whether they would be taken).
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from random import Random
from typing import Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from sample_app.configuration import Configuration
from sample_app.events import EventStream
from sample_app.faults import NO_FAULTS, Faults
from sample_app.feature_flags import FeatureFlags
from sample_app.measurements import Measurements
from sample_app.requests import RequestPaths

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UNHEALTHY_BELOW = 0.5
_ANONYMOUS = "anonymous"
_LARGEST_BODY = 64 * 1024


class Application:
    """One instance per process. `measurements` is what the reports are made of."""

    def __init__(self, configuration: Configuration, flags: FeatureFlags, random: Random) -> None:
        self.measurements = Measurements()
        self._configuration = configuration
        self._paths = RequestPaths(flags, self.measurements, random)
        self._events = EventStream(flags, self._paths, self.measurements)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path == "/work" and method in ("GET", "POST"):
            status, body = await self._paths.answer(*_user(scope))
        elif path.startswith("/health/") and method in ("GET", "HEAD"):
            status, body = self._health(path.removeprefix("/health/"))
        elif path == "/faults":
            status, body = self._on_faults(scope, await _body(receive))
        else:
            status, body = HTTPStatus.NOT_FOUND, {"error": f"{method} {path} is unknown"}
        await _answer(send, status, {**body, "revision": self._configuration.revision})

    def _health(self, page: str) -> tuple[HTTPStatus, dict[str, Any]]:
        scores = self.measurements.scores()
        if page not in scores:
            return HTTPStatus.NOT_FOUND, {"error": f"no health page {page!r}; there are {', '.join(scores)}"}
        score = scores[page]
        if score < UNHEALTHY_BELOW:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unhealthy", "score": score}
        return HTTPStatus.OK, {"status": "ok" if score == 1.0 else "degraded", "score": score}

    def _on_faults(self, scope: Message, body: bytes) -> tuple[HTTPStatus, dict[str, Any]]:
        token = self._configuration.faults_token
        given = _header(scope, b"x-faults-token") or ""
        if token is None or not hmac.compare_digest(token.encode(), given.encode()):
            return HTTPStatus.FORBIDDEN, {"error": "faults are switched with the token this process was started with"}
        try:
            match scope["method"]:
                case "PUT":
                    self._paths.faults = Faults.model_validate_json(body)
                case "POST":
                    Faults.model_validate_json(body)
                case "DELETE":
                    self._paths.faults = NO_FAULTS
                case "GET":
                    pass
                case method:
                    return HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{method} /faults means nothing here"}
        except ValidationError as error:
            return HTTPStatus.BAD_REQUEST, {"error": _problems(error)}
        return HTTPStatus.OK, {"faults": self._paths.faults.model_dump(exclude_defaults=True)}

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        after = parse_qs(scope["query_string"].decode()).get("after", [""])[0]
        if scope["path"] != "/events" or (after and not after.isdecimal()):
            await send({"type": "websocket.close", "code": 1008})
            return
        await receive()
        await send({"type": "websocket.accept"})

        async def send_event(event: dict[str, object]) -> None:
            await send({"type": "websocket.send", "text": json.dumps(event)})

        user, email = _user(scope)
        following = asyncio.create_task(self._events.follow(user, email, int(after) if after else None, send_event))
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _user(scope: Message) -> tuple[str, str | None]:
    return _header(scope, b"x-user") or _ANONYMOUS, _header(scope, b"x-email")


def _header(scope: Message, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= _LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Send, status: HTTPStatus, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}, got {each['input']!r}" for each in error.errors()
    )
