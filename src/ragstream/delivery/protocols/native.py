"""The native protocol: the log's records as they are, with their seq as the cursor."""

from __future__ import annotations

from typing import ClassVar

from ragstream.delivery import sse
from ragstream.streamlog.base import Record

__all__ = ["Native"]


class Native:
    """Server-Sent Events whose data is the record's JSON and whose id is its seq."""

    name: ClassVar[str] = "native"
    media_type: ClassVar[str] = "text/event-stream"
    heartbeat: ClassVar[bytes] = sse.comment()
    resumable: ClassVar[bool] = True

    def __init__(self, *, retry: int | None = None) -> None:
        self._retry = retry  # goes with the first event only

    def frame(self, record: Record) -> bytes:
        """Return one event; the record's data is one line of JSON and its type a checked name."""
        cursor = b"id: %d\n" % record.seq if record.seq else b""
        return b"%sevent: %s\n%sdata: %s\n\n" % (
            cursor,
            record.type.encode(),
            self._retry_line(),
            record.data,
        )

    def done(self) -> bytes:
        """Return the DONE frame, which has no id: the cursor stays at the terminal event."""
        return sse.encode("{}", event="done")

    def _retry_line(self) -> bytes:
        if self._retry is None:
            return b""
        line, self._retry = b"retry: %d\n" % self._retry, None
        return line
