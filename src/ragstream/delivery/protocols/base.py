"""A projection: a deterministic transducer from a log's records to one protocol's bytes."""

from __future__ import annotations

from typing import ClassVar, Protocol

from ragstream.streamlog.base import Record

__all__ = ["Projection"]


class Projection(Protocol):
    """Turns records into bytes: no clock, no random ids, so that two readers get the same bytes."""

    media_type: ClassVar[str]
    heartbeat: ClassVar[bytes]  # what keeps the line alive between events

    def frame(self, record: Record) -> bytes:
        """Return the bytes of one record; a record with seq 0 is not in the log and moves no cursor."""
        ...

    def done(self) -> bytes:
        """Return what follows the terminal event."""
        ...
