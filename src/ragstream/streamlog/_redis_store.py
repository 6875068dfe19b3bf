"""What the Redis log asks of Redis, in our terms; ``_redis.lua`` does it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ragstream.errors import LeaseLost, NotFound, StreamExists
from ragstream.events import TERMINAL
from ragstream.streamlog._live import LiveStream, page
from ragstream.streamlog._local import Stored
from ragstream.streamlog._redis_line import Address, Argument, Line
from ragstream.streamlog.base import LogStatus, Record

__all__ = ["GONE", "LOST", "Found", "Heard", "RedisStore", "Timing"]

LOST, GONE = -1, -2  # instead of a last seq: another producer's now, or deleted; not there at all
_PAGE = 500  # events in one reply
_WRITING_PATIENCE = 10.0  # seconds: a stall of some seconds loses nothing
_READING_PATIENCE = 5.0


class Timing(NamedTuple):
    """Seconds."""

    lease: float  # a process that was silent for so long is held to be dead
    deadline: float  # what an answer may take
    retention: float  # how long an ended log is kept


class Found(NamedTuple):
    """What Redis knows of a log."""

    stored: Stored
    alive: bool  # its producer

    @property
    def status(self) -> LogStatus:
        """Where the log stands."""
        stored = self.stored
        return LogStatus(
            stream_id=stored.stream_id,
            owner=stored.owner,
            state="ended" if stored.last_type else "live" if self.alive else "orphaned",
            last_seq=stored.last_seq,
            last_type=stored.last_type,
        )


class Heard(NamedTuple):
    """What a beat says of one log that is written here."""

    last: int  # its last seq, LOST or GONE
    stop: str  # by whom it shall be stopped, or nothing


class RedisStore:
    """The keys of one prefix, reached over two lines: reading never makes an append wait.

    Args:
        address: where Redis is.
        prefix: what all our keys begin with.
        process: the name of this process.
        timing: leases and lifetimes.
    """

    def __init__(self, address: Address, *, prefix: str, process: str, timing: Timing) -> None:
        self.prefix = prefix
        self.process = process
        self.writing = Line(address, patience=_WRITING_PATIENCE)
        self.reading = Line(address, patience=_READING_PATIENCE)
        self._lease = _milliseconds(timing.lease)
        self._retention = _milliseconds(timing.retention)
        self._lifetime = _milliseconds(timing.deadline + timing.retention)

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: nobody answers.
        """
        await self.writing.open()
        await self.reading.open()

    async def close(self) -> None:
        """Disconnect."""
        await self.reading.aclose()
        await self.writing.aclose()

    async def claim(self, stream_id: str, owner: str) -> int:
        """Claim a new id; return the token of its first producer.

        Raises:
            StreamExists: the id was used.
        """
        claim = secrets.token_hex(8)
        if not await self._write("open", self.process, self._lease, stream_id, owner, claim, self._lifetime):
            raise StreamExists(f"The stream id {stream_id} has been used.")
        return 1

    async def restore(self, stream: LiveStream) -> int:
        """Make a log anew that Redis has lost; return its last seq or LOST."""
        last: int = await self._write(
            "restore",
            self.process,
            self._lease,
            stream.stream_id,
            stream.owner,
            stream.key,
            self._lifetime,
        )
        return last

    async def append(self, runs: Iterable[tuple[LiveStream, Sequence[Record]]]) -> list[int]:
        """Append to logs; return for each its last seq, LOST, GONE, or where a lost tail begins."""
        arguments: list[Argument] = []
        for stream, records in runs:
            ending = records[-1].type if records[-1].type in TERMINAL else ""
            arguments += stream.stream_id, stream.key, records[0].seq, len(records), ending
            for record in records:
                arguments += record.type, record.data
        lasts: list[int] = await self._write("append", self._lifetime, self._retention, *arguments)
        return lasts

    async def find(self, stream_id: str) -> Found | None:
        """Return what is known of a log that was not deleted."""
        found = await self._read("find", stream_id)
        if not found:
            return None
        owner, token, last_seq, last_type, size, alive = found
        stored = Stored(
            stream_id=stream_id,
            owner=owner.decode(),
            key=token,
            last_seq=last_seq,
            last_type=last_type.decode() or None,
            size=size,
        )
        return Found(stored, bool(alive))

    async def page(self, stream_id: str, after: int) -> tuple[Record, ...]:
        """Return the next stored records beyond ``after``, as many as fit in one page."""
        key = f"{self.prefix}:events:{stream_id}"
        entries = await self.reading.ask("XRANGE", key, f"{after + 1}-0", "+", "COUNT", _PAGE)
        return page(
            Record(int(entry.partition(b"-")[0]), fields[1].decode(), fields[3]) for entry, fields in entries
        )

    async def adopt(self, stream_id: str, *, steady: bool) -> Stored:
        """Take over a log that nobody writes; ``steady``: also one whose producer's lease has run out.

        Raises:
            NotFound: there is no such log.
            LeaseLost: it has ended, or has a producer.
        """
        claim = secrets.token_hex(8)
        found = await self._write("adopt", self.process, self._lease, stream_id, claim, int(steady))
        if found == GONE:
            raise NotFound("There is no such stream.")
        if found == LOST:
            raise LeaseLost("The log has ended, or its producer lives: there is nothing to take over.")
        owner, token, last_seq, size = found
        return Stored(
            stream_id=stream_id, owner=owner.decode(), key=token, last_seq=last_seq, last_type=None, size=size
        )

    async def release(self, stream_ids: Iterable[str]) -> None:
        """Say that this process writes these logs no more."""
        await self._write("release", self.process, *stream_ids)

    async def beat(self, streams: Sequence[LiveStream]) -> tuple[bool, list[Heard]]:
        """Renew the lease; return whether Redis knew this process, and how each log stands."""
        arguments: list[Argument] = []
        for stream in streams:
            arguments += stream.stream_id, stream.key
        known, *heard = await self._write("beat", self.process, self._lease, *arguments)
        pairs = zip(heard[::2], heard[1::2], strict=True)
        return bool(known), [Heard(last, stop.decode()) for last, stop in pairs]

    async def leave(self) -> None:
        """Give the lease up."""
        await self._write("leave", self.process)

    async def mine(self) -> list[str]:
        """Return the logs that this process is held to write."""
        return [stream_id.decode() for stream_id in await self._write("mine", self.process)]

    async def orphans(self, *, steady: bool) -> list[str]:
        """Return the logs that nobody writes; ``steady``: also where the producer's lease has run out."""
        return [stream_id.decode() for stream_id in await self._read("orphans", int(steady))]

    async def cancel(self, stream_id: str, by: str) -> None:
        """Ask the producer, in whichever process, to stop."""
        await self._write("cancel", stream_id, by)

    async def delete(self, stream_id: str) -> None:
        """Delete a log; its id stays used for as long as an ended log is kept."""
        await self._write("delete", stream_id, self._retention)

    async def sweep(self, total_bytes: int) -> bool:
        """Delete some ended logs that are too old or too many; return whether there may be more."""
        return bool(await self._write("sweep", self._retention, total_bytes, 100))

    async def readers(self, stream_id: str) -> int:
        """Return in how many other processes the log is read."""
        _, count = await self.reading.ask("PUBSUB", "NUMSUB", f"{self.prefix}:bell:{stream_id}")
        return int(count)

    async def eviction(self) -> str:
        """Return what Redis does where memory runs out."""
        said: bytes = await self.reading.ask("INFO", "memory")
        policy = (line for line in said.decode().split("\r\n") if line.startswith("maxmemory_policy:"))
        return next(policy, ":").partition(":")[2]

    async def _write(self, *arguments: Argument) -> Any:
        return await self.writing.run(self.prefix, *arguments)

    async def _read(self, *arguments: Argument) -> Any:
        return await self.reading.run(self.prefix, *arguments)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
