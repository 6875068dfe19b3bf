"""Reading a log: from memory where the reader keeps up, from the store where it is further behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ragstream.errors import CursorAhead, NotFound
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._writer import repeated
from ragstream.streamlog.base import Record
from ragstream.streamlog.tap import Tap

__all__ = ["ReadableLog"]


class ReadableLog:
    """What all our logs read alike, given where a log is and what the store has of it."""

    async def read(
        self, stream_id: str, after: int = 0, *, tap: Tap | None = None
    ) -> AsyncGenerator[tuple[Record, ...], None]:
        """Yield batches of records up to the terminal one; see ``base.StreamLog``."""
        stream = await self._to_read(stream_id, after)
        if stream is None:
            raise NotFound("There is no such stream.")
        if after > stream.acked:
            raise CursorAhead(f"The cursor is {after}, but the log ends at {stream.acked}.")
        cursor = after
        while not stream.gone:
            if cursor < stream.acked:
                batch = stream.tail(cursor) if cursor >= stream.base else await self._stored(stream, cursor)
                if not batch:  # deleted while the store was asked
                    break
                cursor = batch[-1].seq
                yield batch
            elif stream.ended:
                return
            elif stream.fault is not None:
                raise repeated(stream.fault) from stream.fault
            else:
                cursor = await stream.changed(cursor, tap.take if tap is not None else None)
        raise NotFound("This stream was deleted.")

    async def _to_read(self, stream_id: str, after: int) -> LiveStream | None:
        """Return the log, up to ``after`` at least if it reaches so far."""
        raise NotImplementedError

    async def _stored(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        """Return the next stored records beyond ``after``, as many as fit in one page."""
        raise NotImplementedError
