"""The body of a chat completion, bytes in, events out: no network, so that every cut can be tried.

A body that begins as JSON does is an answer in one piece, from a server that was not asked to stream, or
cannot; every other one is a stream. The shapes are those of OpenAI and of the servers that speak its protocol
with an accent: a role-only first chunk, ``content`` null or in parts, reasoning under two names, usage in a
chunk without choices or under ``x_groq``, tool calls without an index. Fields that nobody here reads are
skipped undecoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import (
    EventType,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    without_surrogates,
)
from ragstream.llm.failures import said_error
from ragstream.llm.shapes import (
    CallPiece,
    Chunk,
    Delta,
    Function,
    TokenCounts,
    decode_chunk,
    decode_leniently,
    decode_text,
    parts_of,
    usage_of,
)
from ragstream.llm.sse import EventData, LineTooLong

__all__ = ["ChatStream"]

_FINISH = {  # words for the same four reasons
    "end_turn": "stop",
    "eos": "stop",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
}
_WHOLE_CAP = 8 << 20  # bytes of an answer in one piece
_TEXT = EventType.TEXT_DELTA
_MAX_CALLS = 128  # of one answer; a provider that counts on is broken


class ChatStream:
    """Read one answer of the provider ``name``.

    ``finished`` is set by a finish reason, ``done`` by ``[DONE]``: after the first the answer is whole, after
    the second nothing more is read.
    """

    def __init__(self, name: str, key: str | None = None) -> None:
        self.name = name
        self._key = key  # never to be repeated in a message
        self.finished = False
        self.done = False
        self._body: EventData | _Whole | None = None  # its first byte will tell
        self._finish_reason = ""
        self._model: str | None = None
        self._usage: TokenCounts | None = None
        self._calls: list[_OpenCall] = []
        self._half = ""  # of a character that a chunk was cut in
        self._places: dict[int, int] = {}  # a provider's index of a call -> its place among ours

    def feed(self, piece: bytes) -> Iterable[StreamEvent]:
        """Return what ``piece`` says; what is wrong is raised here, or where it stands among the events.

        Raises:
            ProviderError: it is not the protocol, or the provider says that it failed.
        """
        if self._body is None:
            self._body = _Whole() if piece.lstrip().startswith(b"{") else EventData()
        if self.done or not (data := self._body.alone(piece)):
            return self._feed(self._body, piece)
        return self._events(data)

    def end(self) -> Iterator[StreamEvent]:
        """Yield what was left at the end of the body.

        A last event without its blank line counts if it is whole: JSON that was cut can never be parsed.

        Raises:
            ProviderError: the body ended before the answer did.
        """
        for data in self._body.end() if self._body else ():
            if not self.done and _is_whole(data) and (chunk := self._decoded(data)) is not None:
                yield from self._read(chunk)
        if not self.finished:
            raise self._unfinished()

    def ending(self) -> Iterator[StreamEvent]:
        """Yield the tool calls, whole, and the MESSAGE_COMPLETE of an answer that is finished."""
        for call in self._calls:
            yield StreamEvent(type=EventType.TOOL_CALL, tool_call=call.whole())
        reason = _FINISH.get(self._finish_reason, self._finish_reason)
        if self._calls and reason == "stop":
            reason = "tool_calls"  # some servers never say it
        usage = usage_of(self._usage) if self._usage else None
        yield StreamEvent(
            type=EventType.MESSAGE_COMPLETE, finish_reason=reason, model=self._model, usage=usage
        )

    def _feed(self, body: EventData | _Whole, piece: bytes) -> Iterator[StreamEvent]:
        try:
            for data in body.feed(piece):
                if self.done:
                    return
                yield from self._events(data)
        except LineTooLong as error:
            raise self._broken(f"sent {error}") from error

    def _events(self, data: bytes) -> Iterable[StreamEvent]:
        try:
            text = decode_text(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # it says something else, or more
            chunk = self._decoded(data)
            return () if chunk is None else self._read(chunk)
        self._model = text.model or self._model
        return (StreamEvent(type=_TEXT, text_delta=TextDelta(content=text.choices[0].delta.content)),)

    def _read(self, chunk: Chunk) -> Iterator[StreamEvent]:
        if chunk.usage or chunk.x_groq:
            self._usage = chunk.usage or (chunk.x_groq and chunk.x_groq.usage) or self._usage
        if chunk.model:
            self._model = chunk.model
        if chunk.choices:
            choice = chunk.choices[0]
            if len(chunk.choices) > 1 or choice.index:
                raise self._broken("sent several choices; only one is read, so ask for one")
            if delta := choice.delta or choice.message:
                yield from self._said(delta)
            if choice.finish_reason:
                self._finish(choice.finish_reason)

    def _decoded(self, data: bytes) -> Chunk | None:
        try:
            chunk = decode_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.done = data.strip() == b"[DONE]"
            if self.done or not data.strip():
                return None
            chunk = self._read_again(data, error)
        if chunk.error or chunk.object == "error" or (chunk.x_groq and chunk.x_groq.error):
            raise said_error(self.name, data, self._key)
        return chunk

    def _read_again(self, data: bytes, error: Exception) -> Chunk:
        """Read what the strict decoder did not; servers that count in UTF-16 cut emojis in the middle."""
        try:
            chunk = decode_leniently(data)
        except (ValueError, RecursionError):
            raise self._broken("sent a chunk that cannot be read") from error
        for delta in (choice.delta for choice in chunk.choices or ()):
            if delta and isinstance(delta.content, str):
                text = self._half + delta.content
                self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
                delta.content = without_surrogates(text.removesuffix(self._half))
        return chunk

    def _said(self, delta: Delta) -> Iterator[StreamEvent]:
        content = delta.content
        if delta.reasoning_content or delta.reasoning or isinstance(content, list):
            reasoning, content = parts_of(delta)
            if reasoning:
                yield StreamEvent(
                    type=EventType.REASONING_DELTA, reasoning_delta=ReasoningDelta(content=reasoning)
                )
        if content:
            yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content))
        if delta.refusal:
            refused = TextDelta(content=delta.refusal, refusal=True)
            yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=refused)
        for piece in delta.tool_calls or ():
            yield StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=self._called(piece))

    def _called(self, piece: CallPiece) -> ToolCallDelta:
        place = self._place(piece)
        if place == len(self._calls):
            if place >= _MAX_CALLS:
                raise self._broken(f"called more than {_MAX_CALLS} tools at once")
            self._calls.append(_OpenCall(piece.id or f"call_{place}"))
        call = self._calls[place]
        function = piece.function or Function()
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        is_new = not call.name
        call.name = call.name or function.name or ""
        call.arguments.append(arguments)
        return ToolCallDelta(
            index=place,
            id=call.id if is_new else None,
            name=call.name if is_new else None,
            arguments=arguments,
        )

    def _place(self, piece: CallPiece) -> int:
        """Return where the piece belongs; without an index, a new id or name begins a new call."""
        if piece.index is not None:
            return self._places.setdefault(piece.index, len(self._calls))
        last = self._calls[-1] if self._calls else None
        begins = bool(piece.id and (last is None or piece.id != last.id))
        begins = begins or bool(not piece.id and piece.function and piece.function.name)
        return len(self._calls) if last is None or begins else len(self._calls) - 1

    def _finish(self, reason: str) -> None:
        if reason == "error":
            raise ProviderError(
                f"{self.name} ended the answer with an error",
                code=ErrorCode.UPSTREAM_ERROR,
                provider=self.name,
                retryable=True,
            )
        self.finished = True
        self._finish_reason = reason

    def _unfinished(self) -> ProviderError:
        if self._body and self._body.foreign and not self._body.seen:
            return self._broken("answered something else than a model does: is the base URL right?")
        return ProviderError(
            f"{self.name} ended before the answer was finished",
            code=ErrorCode.UPSTREAM_TRUNCATED,
            provider=self.name,
            retryable=True,
        )

    def _broken(self, what: str) -> ProviderError:
        return ProviderError(
            f"{self.name} {what}", code=ErrorCode.UPSTREAM_PROTOCOL, provider=self.name, retryable=False
        )


class _Whole:
    """Collects an answer that comes in one piece; used as ``EventData`` is."""

    seen = False

    def __init__(self) -> None:
        self._body = bytearray()
        self.foreign = False

    def alone(self, piece: bytes) -> bytes:  # noqa: ARG002 - nothing is whole before the end
        return b""

    def feed(self, piece: bytes) -> tuple[bytes, ...]:
        self._body += piece
        if len(self._body) > _WHOLE_CAP:
            raise LineTooLong(f"an answer of more than {_WHOLE_CAP} bytes")
        return ()

    def end(self) -> tuple[bytes, ...]:
        body = bytes(self._body)
        self.foreign = _is_whole(body) and b'"choices"' not in body
        return (body,)


class _OpenCall:
    """A tool call while its arguments are arriving."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.name = ""
        self.arguments: list[str] = []

    def whole(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments="".join(self.arguments) or "{}")


def _is_whole(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.strip() == b"[DONE]"
    return True
