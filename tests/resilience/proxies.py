"""Proxies for tests: what stands between a client and a server, and does it harm."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Back", "cut_after", "proxy"]

Back = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Carries the server's bytes to the client, in its own way; the connection ends with it."""


@asynccontextmanager
async def proxy(port: int, back: Back) -> AsyncIterator[int]:
    """Stand before a port of loopback; yield the port to connect to."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        forth = asyncio.create_task(_forth(reader, to_server))
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await back(from_server, writer)
        finally:
            forth.cancel()
            to_server.transport.abort()
            writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _forth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def cut_after(
    count: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, rudely: bool
) -> None:
    """Carry so many bytes, then end the connection: with FIN, or rudely, with RST."""
    while count and (data := await reader.read(count)):
        writer.write(data)
        await writer.drain()
        count -= len(data)
    if rudely:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
