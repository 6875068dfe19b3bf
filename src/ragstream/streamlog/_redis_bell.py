"""The doorbell: one connection of the process that listens, for all that is written elsewhere.

It only rings. What is lost with a connection is not missed: each channel's confirmation, the first time and
after every reconnection, rings too, and the mirrors look for themselves every now and then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from redis.asyncio import Connection
from redis.exceptions import RedisError

from ragstream.streamlog._redis_line import Address

__all__ = ["Bell"]

_PAUSES = 0.05, 1.0  # seconds between two attempts to connect: the first and the longest


class Bell:
    """Listens to channels.

    Args:
        address: where Redis is.
        on_ring: called with a channel and what was said, or None once the channel is listened to.
    """

    def __init__(self, address: Address, on_ring: Callable[[str, bytes | None], None]) -> None:
        self._address = address
        self._on_ring = on_ring
        self._wanted: set[str] = set()
        self._asked: set[str] = set()  # of this connection
        self._changed = asyncio.Event()
        self._connection: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_up())]

    async def aclose(self) -> None:
        """Listen no more. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._hang_up()

    def listen(self, channel: str) -> None:
        """Listen to a channel too; its first ring says that it is heard."""
        self._wanted.add(channel)
        self._changed.set()

    def leave(self, channel: str) -> None:
        """Listen to a channel no more."""
        self._wanted.discard(channel)
        self._changed.set()

    async def _listen(self) -> None:
        first, longest = _PAUSES
        pause = first
        while True:
            try:
                self._connection = connection = await self._address.connect()
                self._asked.clear()
                self._changed.set()
                while True:
                    said = await connection.read_response(timeout=math.inf)
                    pause = first
                    self._heed(*said)
            except (RedisError, OSError):
                await self._hang_up()
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    def _heed(self, kind: bytes, channel: bytes, said: bytes | int) -> None:
        if kind == b"message" and isinstance(said, bytes):
            self._on_ring(channel.decode(), said)
        elif kind == b"subscribe":
            self._on_ring(channel.decode(), None)

    async def _keep_up(self) -> None:
        """Tell Redis what is wanted, whenever that or the connection changes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            connection = self._connection
            if connection is None:
                continue
            new, old = self._wanted - self._asked, self._asked - self._wanted
            self._asked = set(self._wanted)
            try:
                if new:
                    await connection.send_command("SUBSCRIBE", *new, check_health=False)
                if old:
                    await connection.send_command("UNSUBSCRIBE", *old, check_health=False)
            except (RedisError, OSError):
                continue  # the listener meets the same, and comes back

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
