"""A projection: a deterministic transducer from a log's records to one protocol's bytes."""

from __future__ import annotations

from typing import ClassVar, Protocol

from ragstream.streamlog.base import Record

__all__ = ["Projection"]


class Projection(Protocol):
    """Turns records into bytes: no clock, no random ids, so that two readers get the same bytes."""

    name: ClassVar[str]  # what ``?protocol=`` and the metrics call it
    media_type: ClassVar[str]
    heartbeat: ClassVar[bytes]  # what keeps the line alive between events

    resumable: ClassVar[bool]  # readers come back by themselves after ``retry:`` and a clean end without DONE

    def frame(self, record: Record) -> bytes:
        """Return the bytes of one record; a record with seq 0 is not in the log and moves no cursor."""
        ...

    def done(self) -> bytes:
        """Return what follows the terminal event."""
        ...
