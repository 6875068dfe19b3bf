"""The native protocol: the log's records as they are, with their seq as the cursor."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from starlette.responses import Response

from ragstream.delivery import sse
from ragstream.delivery.fault import Fault
from ragstream.delivery.problem import problem
from ragstream.delivery.protocols.counted import Collected
from ragstream.events import Citation, Source, Usage
from ragstream.streamlog.base import Record

__all__ = ["ChatResponse", "Native", "NativeDialect"]


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    session_id: str
    stream_id: str
    message: dict[str, Any]  # role and content
    sources: tuple[Source, ...]
    citations: tuple[Citation, ...]
    finish_reason: str | None
    usage: Usage | None


class Native:
    """Server-Sent Events whose data is the record's JSON and whose id is its seq."""

    name: ClassVar[str] = "native"
    heartbeat: ClassVar[bytes] = sse.comment()
    resumable: ClassVar[bool] = True
    ended: ClassVar[bool] = False  # it says all that the log says

    def __init__(self, *, retry: int | None = None) -> None:
        self._retry = retry  # goes with the first event only

    def frame(self, record: Record) -> bytes:
        """Return one event; the record's data is one line of JSON and its type a checked name."""
        cursor = b"id: %d\n" % record.seq if record.seq else b""
        retry = b"" if self._retry is None else self._retry_line()
        return b"%sevent: %s\n%sdata: %s\n\n" % (cursor, record.type.encode(), retry, record.data)

    def done(self) -> bytes:
        """Return the DONE frame, which has no id: the cursor stays at the terminal event."""
        return sse.encode("{}", event="done")

    def _retry_line(self) -> bytes:
        if self._retry is None:
            return b""
        line, self._retry = b"retry: %d\n" % self._retry, None
        return line


class NativeWhole(Collected):
    """The whole answer as one object."""

    def body(self) -> ChatResponse:
        """Return the answer with its sources."""
        answer, start = self.answer, self.answer.start
        return ChatResponse(
            session_id=start.session_id if start else "",
            stream_id=start.stream_id if start else "",
            message={"role": "assistant", "content": answer.text},
            sources=answer.sources,
            citations=tuple(answer.citations),
            finish_reason=answer.finish_reason,
            usage=answer.usage,
        )


class NativeDialect(msgspec.Struct, frozen=True, tag="native"):
    """Ragstream's own protocol."""

    name: ClassVar[str] = "native"
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    counts: ClassVar[bool] = False
    tells_endings: ClassVar[bool] = False

    def projection(self, *, after: int = 0, retry: int | None = None) -> Native:  # noqa: ARG002 - seq is all
        """Return what writes the records."""
        return Native(retry=retry)

    def whole(self) -> NativeWhole:
        """Return what collects the answer."""
        return NativeWhole()

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return problem details."""
        return problem(fault, request_id=request_id)
