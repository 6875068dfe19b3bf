"""One connection to Redis, used by one task of ours.

Callers queue their commands and wait for futures: whoever is cancelled leaves nothing on the wire that the
next one could take for its own reply. What has gathered while the last replies were under way is sent in one
write. A command whose reply was lost is sent again, so each of ours may be executed twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from importlib import resources
from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ragstream.errors import ConfigError, StorageFull, StoreError

__all__ = ["Address", "Argument", "Line", "mapped"]

Argument = bytes | str | int

_CONNECTING = 2.0  # seconds
_PAUSES = 0.02, 0.5  # seconds between two attempts to connect: the first and the longest
_AT_ONCE = 1000  # commands in one write
_SCRIPT = resources.files("ragstream.streamlog").joinpath("_redis.lua").read_text("utf-8")
_DIGEST = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class _NotLoaded(StoreError):
    """Redis does not know the script, or not any more."""


class Address:
    """Where Redis is: makes connections to it.

    Args:
        url: ``redis://host:port/database``, ``rediss://…`` or ``unix://path``, with or without a password.
        patience: seconds that a reply may take.

    Raises:
        ConfigError: the URL is none of these.
    """

    def __init__(self, url: str, *, patience: float) -> None:
        self.patience = patience
        try:
            self._pool = ConnectionPool.from_url(
                url,
                protocol=2,
                socket_timeout=patience,
                socket_connect_timeout=min(_CONNECTING, patience),
                socket_keepalive=True,
            )
        except ValueError as fault:
            raise ConfigError(f"The URL of Redis is wrong: {fault}") from fault
        parts = self._pool.connection_kwargs
        self.name = str(parts.get("path") or f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}")

    async def connect(self) -> Connection:
        """Return a new connection, on which the caller bounds all waiting; raises what redis-py does."""
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        connection.socket_timeout = None  # else each write costs a task
        return connection


class _Request:
    __slots__ = ("command", "reply")

    def __init__(self, command: tuple[Argument, ...]) -> None:
        self.command = command
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Line:
    """A connection that comes back by itself, for as long as the line is open.

    Args:
        address: where to connect to.
        patience: seconds that a caller waits, lost connections included.
    """

    def __init__(self, address: Address, *, patience: float) -> None:
        self._address = address
        self._patience = patience
        self._waiting: list[_Request] = []
        self._roused = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None  # why the last connection went

    async def open(self) -> None:
        """Connect, and keep connected.

        Raises:
            StoreError: nobody answers.
        """
        try:
            await self._connect()
        except (RedisError, OSError) as fault:
            raise mapped(fault, self._address.name) from fault
        self._task = asyncio.create_task(self._work(), name="redis line")

    async def aclose(self) -> None:
        """Disconnect; who still waits is told. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for request in self._waiting:
            self._fail(request, StoreError("The stream log was closed."))
        self._waiting.clear()
        await self._hang_up()

    async def run(self, *arguments: Argument) -> Any:
        """Run our script; see ``ask``."""
        try:
            return await self.ask("EVALSHA", _DIGEST, 1, *arguments)
        except _NotLoaded:
            return await self.ask("EVAL", _SCRIPT, 1, *arguments)

    async def ask(self, *command: Argument) -> Any:
        """Return the reply to a command.

        Raises:
            StorageFull: Redis has no memory left, or cannot write to its disk.
            StoreError: it cannot be reached in time, or refuses.
        """
        if self._task is None:
            raise StoreError("The stream log is not open.")
        request = _Request(command)
        self._waiting.append(request)
        self._roused.set()
        try:
            async with asyncio.timeout(self._patience):
                return await request.reply
        except TimeoutError:
            fault = self._fault or TimeoutError(f"no answer within {self._patience:g} s")
            raise mapped(fault, self._address.name) from fault

    async def _work(self) -> None:
        first, longest = _PAUSES
        pause = first
        while True:
            await self._roused.wait()
            batch = [request for request in self._waiting[:_AT_ONCE] if not request.reply.done()]
            del self._waiting[:_AT_ONCE]
            try:
                async with asyncio.timeout(self._address.patience):
                    await self._exchange(batch)
                pause, self._fault = first, None
            except AuthenticationError as fault:
                await self._hang_up()
                for request in batch:
                    self._fail(request, mapped(fault, self._address.name))
            except (RedisError, OSError) as fault:  # worth another attempt, over a new connection
                self._fault = fault
                self._waiting[:0] = batch
                await self._hang_up()
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
            except asyncio.CancelledError:
                self._waiting[:0] = batch
                raise
            if not self._waiting:
                self._roused.clear()

    async def _exchange(self, batch: list[_Request]) -> None:
        """Send the commands and take the replies, one for each."""
        if not batch:
            return
        connection = self._connection or await self._connect()
        await connection.send_packed_command(
            connection.pack_commands([request.command for request in batch]), check_health=False
        )
        for request in batch:
            try:
                reply = await connection.read_response()
            except ReadOnlyError:
                raise
            except ResponseError as refusal:
                self._fail(request, mapped(refusal, self._address.name))
            else:
                if not request.reply.done():
                    request.reply.set_result(reply)

    async def _connect(self) -> Connection:
        self._connection = await self._address.connect()
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    @staticmethod
    def _fail(request: _Request, error: StoreError) -> None:
        if not request.reply.done():
            request.reply.set_exception(error)


def mapped(fault: BaseException, name: str) -> StoreError:
    """Return what a fault of Redis, or of the way to it, is here: the one seam."""
    words = (str(fault) or type(fault).__name__).split("\n")[0]
    match fault:
        case NoScriptError():
            return _NotLoaded("Redis does not know the script.")
        case OutOfMemoryError():
            return StorageFull(f"Redis at {name} has used all memory that its maxmemory allows.")
        case AuthenticationError():
            return StoreError(f"Redis at {name} refuses the password: {words}")
        case ResponseError() if words.startswith("OOM"):
            return StorageFull(f"Redis at {name} has used all memory that its maxmemory allows.")
        case ResponseError() if words.startswith("MISCONF"):
            return StorageFull(f"Redis at {name} cannot write to its disk.")
        case ResponseError():
            return StoreError(f"Redis at {name} refuses: {words}")
        case _:
            return StoreError(f"Redis at {name} cannot be reached: {words}")
