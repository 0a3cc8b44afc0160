"""A small HTTP/1.1 server for JSON on the event loop; enough for a control plane on loopback, no dependency."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

_LARGEST_HEAD = 16 * 1024
_LARGEST_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    body: bytes

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, decoded: `/services/p/r/s` is `("services", "p", "r", "s")`."""
        return tuple(unquote(part) for part in self.path.split("/") if part)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            HttpError: 400, it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: HTTPStatus
    body: Any


class HttpError(Exception):
    """Ends a request with a status and `{"error": message}`."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class HttpServer:
    """Serves one handler until closed. Connections are kept alive between requests.

    Binding and serving are two steps, so that an address can be given out before anything answers there.
    """

    url: str

    def __init__(self, before_answer: Callable[[], None]) -> None:
        self._before_answer = before_answer
        self._handle: Handler = _nothing_yet
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def bind(self, host: str, port: int) -> None:
        """Take the address; port 0 takes a free one, and `url` says which."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_LARGEST_HEAD, start_serving=False)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def serve(self, handle: Handler) -> None:
        if self._server is None:
            raise RuntimeError("bind an address before serving")
        self._handle = handle
        await self._server.start_serving()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return  # the client went away or speaks another protocol; there is nobody to answer
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; says whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        answer = await self._answer(head[0], headers, reader)
        self._before_answer()
        body = json.dumps(answer.body).encode() + b"\n"
        keep = headers.get("connection", "").lower() != "close" and answer.status != HTTPStatus.LENGTH_REQUIRED
        writer.write(
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
        )
        if not head[0].startswith("HEAD "):
            writer.write(body)
        await writer.drain()
        return keep

    async def _answer(self, request_line: str, headers: dict[str, str], reader: asyncio.StreamReader) -> HttpAnswer:
        try:
            method, target, _ = request_line.split(" ")
            body = await _body(headers, reader)
            return await self._handle(HttpRequest(method, urlsplit(target).path, body))
        except HttpError as error:
            return HttpAnswer(error.status, {"error": str(error)})
        except ValueError as error:
            return HttpAnswer(HTTPStatus.BAD_REQUEST, {"error": f"not understood: {error}"})


async def _nothing_yet(request: HttpRequest) -> HttpAnswer:
    raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, f"{request.path}: not serving yet")


async def _body(headers: dict[str, str], reader: asyncio.StreamReader) -> bytes:
    if "transfer-encoding" in headers:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "send the body with a content-length")
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _LARGEST_BODY:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, f"a body holds at most {_LARGEST_BODY} bytes")
    return await reader.readexactly(length)
