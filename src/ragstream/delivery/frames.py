"""From records to frames: what is written to a reader, and what the writer must know of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from ragstream.delivery.protocols.base import Projection
from ragstream.events import TERMINAL, EventType
from ragstream.streamlog.base import Record

__all__ = ["Frame", "write_sse"]

_HELD = TERMINAL | {EventType.MESSAGE_START, EventType.STEP, EventType.SOURCES}


class Frame(msgspec.Struct, frozen=True, gc=False):
    """The bytes of some records, written at once."""

    data: bytes
    held: bool  # nothing of the answer itself was said: the head may wait for more, or for a failure's status
    terminal: Record | None  # what ended the stream, if this frame has it


async def write_sse(
    records: AsyncGenerator[tuple[Record, ...], None], projection: Projection
) -> AsyncGenerator[Frame, None]:
    """Yield a frame for each batch of records, the last one with the terminal event."""
    frame, held = projection.frame, True
    async with aclosing(records):
        async for batch in records:
            last = batch[-1]
            data = frame(last) if len(batch) == 1 else b"".join([frame(record) for record in batch])
            terminal = last if last.type in TERMINAL or projection.ended else None
            held = held and all(record.type in _HELD for record in batch)
            if data or terminal:  # else a cursor swallowed it
                yield Frame(data, held, terminal)
            if terminal:
                return
