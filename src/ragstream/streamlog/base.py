"""The stream log: every event of every answer, numbered, before any reader sees it.

``seq`` counts 1, 2, 3, ... without holes. An event is *acknowledged* once the backend holds it; only then is
it given to readers. A stream id is never used twice. A live log is never trimmed; an ended one goes whole.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal, Protocol

import msgspec

from ragstream.events import StreamEvent, decode
from ragstream.streamlog.tap import Tap

__all__ = ["LogStatus", "Record", "StreamLog", "Writer"]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event of a log, encoded once."""

    seq: int
    type: str
    data: bytes  # the event's JSON

    @property
    def event(self) -> StreamEvent:
        """The event, decoded at each call."""
        return decode(self.data)


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a log stands."""

    stream_id: str
    owner: str  # the principal whose question it answers
    state: Literal["live", "orphaned", "ended"]  # orphaned: no terminal event and no live producer
    last_seq: int
    last_type: str | None  # the terminal event's type once ended


class Writer(Protocol):
    """The one producer's end of one log."""

    stream_id: str

    def append(self, event: StreamEvent) -> int:
        """Number the event, enqueue it and return its seq.

        Raises:
            LeaseLost: the log was closed, deleted, or is another producer's now.
            StoreError: an earlier event was not stored, so nothing can follow; close the writer.
            LimitExceeded: the answer's byte cap is reached; a terminal event and steps are always taken.
        """
        ...

    async def room(self) -> None:
        """Wait while more than 256 KiB are unacknowledged; raises what made an append fail."""

    async def flush(self) -> None:
        """Wait until all that was appended is acknowledged; raises what made an append fail."""

    async def close(self) -> None:
        """Give the log up, once all is stored or failed; without an end it is then orphaned. Idempotent."""


class StreamLog(Protocol):
    """A store of logs."""

    async def start(self) -> None:
        """Connect, take locks or leases, begin the clean-up of old logs."""

    async def aclose(self) -> None:
        """Acknowledge what is pending and let go of everything."""

    async def open(self, stream_id: str, owner: str, *, stop: Callable[[str], None] | None = None) -> Writer:
        """Claim a new stream id. ``stop(by)`` is called in this process when somebody cancels.

        Raises:
            StreamExists: the id has been used before.
        """
        ...

    async def adopt(self, stream_id: str) -> Writer:
        """Take over an orphaned log, to end it; the writer goes on after its last seq.

        Raises:
            LeaseLost: it has ended, has a live producer, or another process was faster.
            NotFound: there is no such log.
        """
        ...

    def read(
        self, stream_id: str, after: int = 0, *, tap: Tap | None = None
    ) -> AsyncGenerator[tuple[Record, ...], None]:
        """Yield batches of the records beyond ``after``, waiting for live ones, up to the terminal one.

        Each record comes once, in its order: from the generator or, while that waits, through the tap.

        Raises:
            NotFound: there is no such log (any more).
            CursorAhead: ``after`` is beyond the last acknowledged record.
            StoreError: the log failed; everything that was acknowledged has been yielded.
        """
        ...

    async def status(self, stream_id: str) -> LogStatus | None:
        """Return where the log stands, or None if it is not there."""

    async def cancel(self, stream_id: str, by: str) -> None:
        """Ask the producer, wherever it runs, to stop; nothing happens where there is none."""

    async def watched(self, stream_id: str) -> bool:
        """Return whether another process reads the log now."""
        ...

    async def delete(self, stream_id: str) -> None:
        """Delete the log; its readers see NotFound, its producer can add nothing more. Idempotent."""

    async def orphans(self) -> list[str]:
        """Return the stream ids of logs without a terminal event and without a live producer."""
        ...
