"""The front door of the services: real HTTP and WebSocket requests, split by the observed traffic.

`/run/<service>/…` goes to a revision drawn by its share, `/run/<tag>---<service>/…` to the revision behind the tag.
A request that has begun is finished by the revision that began it, whatever the split becomes meanwhile; a WebSocket
on a revision that no longer has traffic or a tag is closed with 1012, and its user comes back to the present split.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    TCPConnector,
    WSCloseCode,
    WSMsgType,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from sandbox.clock import SandboxClock
from sandbox.data_plane import DataPlane
from sandbox.http_server import HttpError
from sandbox.revision_processes import LOOPBACK, RevisionProcess, RevisionProcesses
from sandbox.run_services import ServiceRecord
from sandbox.served_traffic import ServedTraffic

_SERVICE_RESTART = WSCloseCode.SERVICE_RESTART
_NEVER_SENT = (1005, WSCloseCode.ABNORMAL_CLOSURE)
_IDLE_CONNECTION_SECONDS = 2.0
"""Shorter than applications keep theirs, so that no request is sent into a connection that is being closed."""
_LONGEST_REQUEST = ClientTimeout(total=300.0)
_LARGEST_BODY = 32 * 1024 * 1024
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)


@dataclass(eq=False, slots=True)
class _OpenSocket:
    target: RevisionProcess
    tag: bool
    user_side: web.WebSocketResponse


class Router:
    """Listens on one loopback port for all services. `url` is known once it is open."""

    url: str

    def __init__(
        self, data_plane: DataPlane, processes: RevisionProcesses, served: ServedTraffic, clock: SandboxClock
    ) -> None:
        self._data_plane = data_plane
        self._processes = processes
        self._served = served
        self._clock = clock
        self._sockets: set[_OpenSocket] = set()
        self._closing: set[asyncio.Task[bool]] = set()
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/run/{host}/{rest:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def open(self, wanted_port: int) -> None:
        """Answer at a port, or at a free one where that is 0 or taken by somebody else."""
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_SECONDS),
            timeout=_LONGEST_REQUEST,
            auto_decompress=False,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, LOOPBACK, wanted_port).start()
        except OSError:
            await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._drain(self._sockets)
        await self._runner.cleanup()
        await self._session.close()

    def observe(self, record: ServiceRecord, _instant: int) -> None:
        """Let go of the WebSockets on revisions that a service's traffic has left."""
        shared = {share.revision for share in record.observed_traffic().shares}
        tagged = {
            target.short_name
            for row in record.message.traffic_statuses
            if row.tag and (target := record.target_of(row)) is not None
        }
        left = {
            each
            for each in self._sockets
            if each.target.service == record.name and each.target.revision not in (tagged if each.tag else shared)
        }
        if left:
            task = asyncio.create_task(self._drain(left))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _drain(self, sockets: set[_OpenSocket]) -> bool:
        closed = (each.user_side.close(code=_SERVICE_RESTART, message=b"the traffic has moved") for each in sockets)
        return all(await asyncio.gather(*closed))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        host = request.match_info["host"]
        try:
            record, revision = self._data_plane.target(host)
        except HttpError as error:
            return web.json_response({"error": str(error)}, status=error.status)
        target = self._processes.find(record.name, revision.short_name)
        if target is None:
            return await self._unavailable(record, revision.short_name)
        url = URL(f"http://{LOOPBACK}:{target.port}/{request.raw_path.split('/', 3)[3]}", encoded=True)
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._websocket(request, target, url, tag=self._data_plane.is_tag(host))
        return await self._http(request, target, url)

    async def _http(self, request: web.Request, target: RevisionProcess, url: URL) -> web.StreamResponse:
        began = perf_counter()
        response: web.StreamResponse | None = None
        body = await request.read() if request.can_read_body else None
        try:
            async with self._session.request(
                request.method, url, headers=_forwarded(request.headers), data=body, allow_redirects=False
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
        except ClientError as error:
            if response is not None and response.prepared:
                raise  # half an answer is out; cutting the connection tells the user so
            response = web.json_response({"error": f"{target.revision} did not answer: {error}"}, status=503)
        milliseconds = (perf_counter() - began) * 1000
        self._served.answered(target.service, target.revision, response.status, milliseconds, await self._clock.now())
        return response

    async def _websocket(
        self, request: web.Request, target: RevisionProcess, url: URL, *, tag: bool
    ) -> web.StreamResponse:
        headers = CIMultiDict(
            (name, value)
            for name, value in _forwarded(request.headers).items()
            if not name.lower().startswith("sec-websocket")
        )
        try:
            app_side = await self._session.ws_connect(url, headers=headers)
        except ClientError:
            return await self._unavailable_process(target)
        async with app_side:
            user_side = web.WebSocketResponse()
            await user_side.prepare(request)
            switching = int(HTTPStatus.SWITCHING_PROTOCOLS)
            self._served.answered(target.service, target.revision, switching, None, await self._clock.now())
            socket = _OpenSocket(target, tag, user_side)
            self._sockets.add(socket)
            try:
                await _carry_both_ways(user_side, app_side)
            finally:
                self._sockets.discard(socket)
        return user_side

    async def _unavailable(self, record: ServiceRecord, revision: str) -> web.StreamResponse:
        self._served.answered(record.name, revision, 503, None, await self._clock.now())
        return web.json_response({"error": f"{revision} has no process that runs"}, status=503)

    async def _unavailable_process(self, target: RevisionProcess) -> web.StreamResponse:
        self._served.answered(target.service, target.revision, 503, None, await self._clock.now())
        return web.json_response({"error": f"{target.revision} took no WebSocket"}, status=503)


async def _carry_both_ways(user_side: web.WebSocketResponse, app_side: ClientWebSocketResponse) -> None:
    """Until one side closes; the other one is then closed with the same code."""
    carriers = [
        asyncio.create_task(_carry(user_side, app_side)),
        asyncio.create_task(_carry(app_side, user_side)),
    ]
    await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
    for each in carriers:
        each.cancel()
    await asyncio.gather(*carriers, return_exceptions=True)


async def _carry(
    source: web.WebSocketResponse | ClientWebSocketResponse, sink: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    with suppress(ConnectionError):  # the other side has gone; its own carrier says so
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
        await sink.close(code=_code_to_pass_on(source.close_code))


def _code_to_pass_on(code: int | None) -> int:
    """A side that went without a word has no code that may be sent."""
    return WSCloseCode.GOING_AWAY if code is None or code in _NEVER_SENT else code


def _forwarded(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
