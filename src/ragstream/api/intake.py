"""How the native routes read their requests."""

from __future__ import annotations

from starlette.requests import Request

from ragstream.api.json_body import parse_json
from ragstream.api.schemas import ChatRequest, parse
from ragstream.delivery.base import Follow, Inquiry
from ragstream.delivery.setup import admits
from ragstream.errors import BadCursor

__all__ = ["ChatIntake", "FollowIntake", "cursor"]

_CURSOR_DIGITS = 15


class ChatIntake:
    """Reads a question."""

    has_body = True

    def __init__(self, *, streaming: bool) -> None:
        self._streaming = streaming

    def parse(self, request: Request, body: bytes) -> Inquiry:  # noqa: ARG002
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong.
        """
        asked = parse(ChatRequest, parse_json(body))
        return Inquiry(
            messages=asked.new_messages(),
            session_id=asked.session_id,
            model=asked.model,
            options=asked.options.options(),
            metadata=asked.metadata,
            include_steps=asked.include_steps,
            streaming=self._streaming,
        )


class FollowIntake:
    """Reads a wish to go on with a stream."""

    has_body = False

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def parse(self, request: Request, body: bytes) -> Follow:  # noqa: ARG002
        """Return the stream and the cursor; who accepts only JSON gets the answer whole.

        Raises:
            BadCursor: the cursor is not a number.
        """
        accept = request.headers.get("accept")
        wants_json = not admits(accept, "text/event-stream") and admits(accept, "application/json")
        after = cursor(request)
        return Follow(stream_id=self._stream_id, after=0 if wants_json else after, streaming=not wants_json)


def cursor(request: Request) -> int:
    """Return where the reader is: ``Last-Event-ID``, else ``?after=``; empty or absent is the start.

    Raises:
        BadCursor: not a number that we gave out.
    """
    text = request.headers.get("last-event-id", "") or request.query_params.get("after", "")
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= _CURSOR_DIGITS):
        raise BadCursor("The cursor is not a number: send the id of the last event you have, or none.")
    return int(text)
