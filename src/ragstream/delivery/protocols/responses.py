"""OpenAI's Responses: typed events, numbered from 1, the last of which has the whole response.

``sequence_number`` is how many events there were, so ``starting_after=N`` is a cursor like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec
from starlette.responses import Response

from ragstream.delivery.fault import Fault
from ragstream.delivery.problem import openai_error
from ragstream.delivery.protocols._response import ECHO, GrowingResponse, Said
from ragstream.delivery.protocols.base import Projection
from ragstream.delivery.protocols.counted import Collected, Counted, as_said
from ragstream.events import EventType, StreamEvent

__all__ = ["ECHO", "Responses", "ResponsesDialect"]

_encoder = msgspec.json.Encoder()


class Responses(Counted):
    """Writes the events of a response."""

    name: ClassVar[str] = "responses"

    def __init__(self, *, after: int = 0) -> None:
        super().__init__(after=after)
        self._response = GrowingResponse()

    def _say(self, event: StreamEvent) -> Iterator[Said]:
        return self._response.take(event)

    def _block(self, said: Said) -> bytes:
        kind = said["type"]
        data = {"type": kind, "sequence_number": self.count} | said
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encoder.encode(data))


class ResponseWhole(Collected):
    """The response, as far as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._response = GrowingResponse()

    def apply(self, event: StreamEvent) -> None:
        """Take the next event; a RESET begins the response again."""
        super().apply(event)
        if event.reset is None:
            self._take(event)
            return
        self._response = GrowingResponse()
        self._take(StreamEvent(type=EventType.MESSAGE_START, message_start=self.answer.start))
        for said in as_said(event.reset):
            self._take(said)

    def body(self) -> Said:
        """Return the response."""
        return self._response.told()

    def _take(self, event: StreamEvent) -> None:
        for _ in self._response.take(event):
            pass


class ResponsesDialect(msgspec.Struct, frozen=True, tag="responses"):
    """Responses; ``tells_endings``: whoever asks for one that has begun gets it, failed or not."""

    name: ClassVar[str] = Responses.name
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    counts: ClassVar[bool] = True
    tells_endings: bool = False

    def projection(self, *, after: int = 0, retry: int | None = None) -> Projection:  # noqa: ARG002
        """Return what writes the events; they never ask for a reconnect, so ``retry`` is not said."""
        return Responses(after=after)

    def whole(self) -> ResponseWhole:
        """Return what collects the response."""
        return ResponseWhole()

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return OpenAI's error object."""
        return openai_error(fault, request_id=request_id)
