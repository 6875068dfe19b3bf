"""The producer's end of a log in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ragstream.errors import ErrorCode, IllegalEvent, LeaseLost, LimitExceeded, RagstreamError, StoreError
from ragstream.events import TERMINAL, EventType, StreamEvent, encode
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog.base import Record

__all__ = ["LocalWriter", "Sink", "repeated"]

_ROOM = 256 * 1024  # bytes that may wait for their acknowledgement
_UNCAPPED = TERMINAL | {EventType.STEP}  # how an answer ends must fit, and the steps of ending are few
_NAMES = {event_type: event_type.value for event_type in EventType}  # plain strings cost SQLite less
_FIRST_WORDS = frozenset({EventType.TEXT_DELTA, EventType.REASONING_DELTA, EventType.TOOL_CALL_DELTA})


class Sink(Protocol):
    """What acknowledges records."""

    def submit(self, stream: LiveStream, record: Record, *, urgent: bool) -> None:
        """Store the record soon, at once if it is urgent; then acknowledge it, or fail the stream."""

    def drop(self, stream: LiveStream) -> None:
        """Forget what the stream submitted and is not stored yet."""


class LocalWriter:
    """Numbers, encodes and submits the events of one stream; fenced by ``stream.producer``.

    Args:
        stream: the log; its producer is this writer until somebody takes it away.
        sink: where records go.
        max_bytes: what the events of the answer may take.
        stop: what to call when somebody cancels the answer.
    """

    def __init__(
        self,
        stream: LiveStream,
        sink: Sink,
        *,
        max_bytes: int,
        stop: Callable[[str], None] | None = None,
    ) -> None:
        self.stream_id = stream.stream_id
        self.stop = stop
        self._stream = stream
        self._sink = sink
        self._max_bytes = max_bytes
        self._seq = stream.acked
        self._spoken = False  # the first delta was said
        self._complete = False  # the terminal event was appended
        stream.producer = self

    def append(self, event: StreamEvent) -> int:
        """Number the event, enqueue it and return its seq; see ``base.Writer``."""
        stream = self._stream
        if stream.producer is not self or stream.fault is not None:
            self._check()
        if self._complete:
            raise IllegalEvent("The log has its terminal event: nothing can follow.")
        kind = event.type
        data = encode(event)
        if stream.size + len(data) > self._max_bytes and kind not in _UNCAPPED:
            raise LimitExceeded(
                f"The answer is longer than {self._max_bytes} bytes of events.",
                code=ErrorCode.ANSWER_TOO_LARGE,
            )
        self._complete = kind in TERMINAL
        self._seq = seq = self._seq + 1
        record = Record(seq, _NAMES[kind], data)
        stream.push(record)
        urgent = seq == 1
        if not self._spoken and kind in _FIRST_WORDS:
            self._spoken = urgent = True
        self._sink.submit(stream, record, urgent=urgent)
        return seq

    async def room(self) -> None:
        """Wait while more than 256 KiB are unacknowledged."""
        while self._stream.unacknowledged > _ROOM:
            self._check()
            await self._stream.changed()
        if self._stream.producer is not self or self._stream.fault is not None:
            self._check()

    async def flush(self) -> None:
        """Wait until all that was appended is acknowledged."""
        while self._stream.acked < self._seq:
            self._check()
            await self._stream.changed()

    async def close(self) -> None:
        """Give the log up once what was appended is stored, or cannot be. Idempotent."""
        try:
            with suppress(StoreError):  # the readers have it from the stream
                await self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give the log up as it is."""
        if self._stream.producer is self:
            self._stream.producer = None

    def _check(self) -> None:
        stream = self._stream
        if stream.producer is not self:
            raise LeaseLost("The log was closed, deleted or adopted: this writer can add nothing to it.")
        if stream.fault is not None:
            raise repeated(stream.fault) from stream.fault


def repeated(fault: RagstreamError) -> RagstreamError:
    """Return the same error anew: one that is raised in many places would gather all their tracebacks."""
    return type(fault)(str(fault))
