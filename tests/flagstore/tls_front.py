"""TLS in front of a server whose build has none, as a managed service terminates it. The bytes inside are untouched."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local.ports import LOOPBACK
from tests.flagstore.certificates import Certificates

CHUNK = 65_536


@asynccontextmanager
async def tls_in_front_of(port: int, certificates: Certificates) -> AsyncIterator[int]:
    """The port on which TLS is spoken."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    serving: set[asyncio.Task[None]] = set()

    async def serve(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port)
        there = asyncio.create_task(_carry(near_reader, far_writer))
        back = asyncio.create_task(_carry(far_reader, near_writer))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for one_way, writer in ((there, far_writer), (back, near_writer)):
            one_way.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)

    listener = await asyncio.start_server(accept, LOOPBACK, 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*serving)
        await listener.wait_closed()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
