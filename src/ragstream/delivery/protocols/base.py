"""How an answer is told: a projection writes it as a stream, a whole as one document, and a dialect has both.

A projection is a deterministic transducer from a log's records to one protocol's bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from starlette.responses import Response

from ragstream.delivery.fault import Fault
from ragstream.events import Answer, StreamEvent
from ragstream.streamlog.base import Record

__all__ = ["Dialect", "Projection", "Whole"]


class Projection(Protocol):
    """Turns records into bytes: no clock, no random ids, so that two readers get the same bytes."""

    name: ClassVar[str]  # what ``?protocol=`` and the metrics call it
    heartbeat: ClassVar[bytes]  # what keeps the line alive between events
    resumable: ClassVar[bool]  # readers come back by themselves after ``retry:`` and a clean end without DONE

    @property
    def ended(self) -> bool:
        """Whether nothing more will be said, though the log may go on."""
        ...

    def frame(self, record: Record) -> bytes:
        """Return the bytes of one record; a record with seq 0 is not in the log and moves no cursor."""
        ...

    def done(self) -> bytes:
        """Return what follows the terminal event."""
        ...


class Whole(Protocol):
    """Collects an answer, to be told at once."""

    answer: Answer

    def apply(self, event: StreamEvent) -> None:
        """Take the next event."""

    def body(self) -> Any:
        """Return the document, to be encoded as JSON."""
        ...


class Dialect(Protocol):
    """One protocol, as a request asks for it: a frozen struct, whose fields are part of what is asked."""

    name: ClassVar[str]  # as in ``?protocol=``
    headers: ClassVar[tuple[tuple[str, str], ...]]  # further ones of its streams
    counts: ClassVar[bool]  # a cursor counts its own events, not those of the log

    @property
    def tells_endings(self) -> bool:
        """Whether its whole says how the answer ended, or that it has not; else a failure is a problem."""
        ...

    def projection(self, *, after: int = 0, retry: int | None = None) -> Projection:
        """Return what writes the answer beyond the cursor; ``retry`` is in milliseconds."""
        ...

    def whole(self) -> Whole:
        """Return what collects the answer."""
        ...

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return the response that says what went wrong."""
        ...
