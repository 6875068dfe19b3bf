"""How the routes read their requests."""

from __future__ import annotations

from starlette.requests import Request

from ragstream.api.json_body import parse_json
from ragstream.api.schemas import (
    AgentRequest,
    ChatRequest,
    CompletionRequest,
    ResponseRequest,
    UIChatRequest,
    parse,
)
from ragstream.delivery.base import Follow, Inquiry
from ragstream.delivery.protocols import DIALECTS
from ragstream.delivery.protocols.agui import AGUIDialect
from ragstream.delivery.protocols.base import Dialect
from ragstream.delivery.protocols.chat import ChatDialect
from ragstream.delivery.protocols.native import NativeDialect
from ragstream.delivery.protocols.responses import ResponsesDialect
from ragstream.delivery.protocols.ui import UIDialect
from ragstream.delivery.setup import admits, require_event_stream
from ragstream.errors import BadCursor, InvalidField

__all__ = [
    "AgentIntake",
    "ChatIntake",
    "CompletionIntake",
    "FollowIntake",
    "ResponseIntake",
    "ResumeIntake",
    "RetrieveIntake",
    "UIChatIntake",
    "cursor",
    "dialect_of",
]

_CURSOR_DIGITS = 15


class ChatIntake:
    """Reads a question."""

    has_body = True
    dialect: Dialect = NativeDialect()

    def __init__(self, *, streaming: bool) -> None:
        self._streaming = streaming

    def parse(self, request: Request, body: bytes) -> Inquiry:
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong.
            NotAcceptable: the client does not take a stream.
        """
        if self._streaming:
            require_event_stream(request)
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


class CompletionIntake:
    """Reads a question of OpenAI's Chat Completions, as a stream or whole."""

    has_body = True
    dialect: Dialect = ChatDialect()

    def parse(self, request: Request, body: bytes) -> Inquiry:  # noqa: ARG002
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong, or asks for what cannot be done.
        """
        return parse(CompletionRequest, parse_json(body)).inquiry()


class ResponseIntake:
    """Reads a question of OpenAI's Responses, as a stream, whole or in the background."""

    has_body = True
    dialect: Dialect = ResponsesDialect()

    def parse(self, request: Request, body: bytes) -> Inquiry:  # noqa: ARG002
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong, or asks for what cannot be done.
        """
        return parse(ResponseRequest, parse_json(body)).inquiry()


class RetrieveIntake:
    """Reads a wish for a response that has begun; ``ended``: once it has."""

    has_body = False
    dialect: Dialect = ResponsesDialect()

    def __init__(self, stream_id: str, *, ended: bool = False) -> None:
        self._stream_id = stream_id
        self._ended = ended

    def parse(self, request: Request, body: bytes) -> Follow:  # noqa: ARG002
        """Return the stream and the cursor.

        Raises:
            BadCursor: the cursor is not a number.
            InvalidField: ``stream`` is neither true nor false.
        """
        stream = request.query_params.get("stream", "false").lower()
        if stream not in ("true", "false"):
            raise InvalidField("stream is true or false.", path="stream")
        streaming = stream == "true" and not self._ended
        return Follow(
            stream_id=self._stream_id,
            after=_number(request.query_params.get("starting_after", "")) if streaming else 0,
            streaming=streaming,
            wait=self._ended,
            dialect=ResponsesDialect(tells_endings=True),
        )


class UIChatIntake:
    """Reads a question of the AI SDK's chat."""

    has_body = True
    dialect: Dialect = UIDialect()

    def parse(self, request: Request, body: bytes) -> Inquiry:  # noqa: ARG002
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong.
        """
        return parse(UIChatRequest, parse_json(body)).inquiry()


class ResumeIntake:
    """Reads a wish of the AI SDK's to go on with what is under way in a session."""

    has_body = False
    dialect: Dialect = UIDialect()

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def parse(self, request: Request, body: bytes) -> Follow:  # noqa: ARG002
        """Return the session; the client builds the message anew, so there is no cursor."""
        return Follow(session_id=self._session_id, dialect=self.dialect)


class AgentIntake:
    """Reads a run of AG-UI's."""

    has_body = True
    dialect: Dialect = AGUIDialect()

    def parse(self, request: Request, body: bytes) -> Inquiry:
        """Return the question.

        Raises:
            BadJSON: not JSON.
            InvalidField: a field is wrong, or asks for what cannot be done.
            NotAcceptable: the client does not take a stream.
        """
        require_event_stream(request)
        return parse(AgentRequest, parse_json(body)).inquiry()


class FollowIntake:
    """Reads a wish to go on with a stream, in any protocol."""

    has_body = False
    dialect: Dialect = NativeDialect()

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def parse(self, request: Request, body: bytes) -> Follow:  # noqa: ARG002
        """Return the stream and the cursor; who accepts only JSON gets the answer whole.

        Raises:
            BadCursor: the cursor is not a number.
            InvalidField: there is no such protocol.
            NotAcceptable: the client takes neither a stream nor JSON.
        """
        accept = request.headers.get("accept")
        wants_json = not admits(accept, "text/event-stream") and admits(accept, "application/json")
        if not wants_json:
            require_event_stream(request)
        after, dialect = cursor(request), dialect_of(request)
        return Follow(
            stream_id=self._stream_id,
            after=0 if wants_json else after,
            streaming=not wants_json,
            dialect=dialect,
        )


def dialect_of(request: Request) -> Dialect:
    """Return the protocol of ``?protocol=``; the native one where it is absent.

    Raises:
        InvalidField: there is no such protocol.
    """
    name = request.query_params.get("protocol", NativeDialect.name)
    if name not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise InvalidField(f"There is no protocol {name[:40]!r}; there are: {known}.", path="protocol")
    return DIALECTS[name]


def cursor(request: Request) -> int:
    """Return where the reader is: ``Last-Event-ID``, else ``?after=``; empty or absent is the start.

    Raises:
        BadCursor: not a number that we gave out.
    """
    return _number(request.headers.get("last-event-id", "") or request.query_params.get("after", ""))


def _number(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= _CURSOR_DIGITS):
        raise BadCursor("The cursor is not a number: send the id of the last event you have, or none.")
    return int(text)
