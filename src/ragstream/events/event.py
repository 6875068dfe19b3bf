"""The events of an answer: one frozen struct, a type and the attributes of that type.

The JSON of a struct is what stands in the log and on the native wire, with unset attributes absent::

    StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="Hel"))
    {"type":"text_delta","text_delta":{"content":"Hel"}}
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

__all__ = [
    "TERMINAL",
    "Cancelled",
    "Citation",
    "EventError",
    "EventType",
    "Interrupted",
    "MessageStart",
    "ReasoningDelta",
    "Reset",
    "Source",
    "StepInfo",
    "StreamEvent",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolResult",
    "Usage",
    "decode",
    "encode",
    "without_surrogates",
]


class EventType(StrEnum):
    """What an event is; the value is its name on the wire."""

    MESSAGE_START = "message_start"  # the answer has an id and a model
    STEP = "step"  # a step of the blueprint ended; only where asked for
    SOURCES = "sources"  # what the answer may cite, before its first token
    REASONING_DELTA = "reasoning_delta"  # more of the model's reasoning
    TEXT_DELTA = "text_delta"  # more of the answer
    CITATION = "citation"  # a span of the text rests on a source
    TOOL_CALL = "tool_call"  # a tool call, whole
    TOOL_CALL_DELTA = "tool_call_delta"  # more of a tool call's arguments
    TOOL_RESULT = "tool_result"  # what a tool gave back
    RESET = "reset"  # show this text instead of what you have
    MESSAGE_COMPLETE = "message_complete"  # terminal: the answer is whole
    ERROR = "failed"  # terminal: it failed ("error" is EventSource's own name)
    CANCELLED = "cancelled"  # terminal: somebody stopped it
    INTERRUPTED = "interrupted"  # terminal: its producer died


TERMINAL = frozenset(
    {EventType.MESSAGE_COMPLETE, EventType.ERROR, EventType.CANCELLED, EventType.INTERRUPTED}
)


class MessageStart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Who is answering; ``model`` is the one asked for, ``created`` is seconds since the epoch."""

    stream_id: str
    message_id: str
    session_id: str
    model: str
    created: int
    metadata: dict[str, Any] = {}  # the question's own, echoed


class StepInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A step that ended: its node, label, outcome (of a decision) and duration in milliseconds."""

    node: str
    label: str
    number: int
    outcome: str | None = None
    duration_ms: float


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A passage that the answer may cite; ``id`` is stable within the answer: s1, s2, ..."""

    id: str
    title: str
    uri: str
    page: int | None = None
    heading: str | None = None
    quote: str  # a short piece of the passage
    score: float
    document_id: str | None = None
    start: int | None = None  # where the passage lies in its document's text, in characters
    end: int | None = None


class ReasoningDelta(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, gc=False
):
    """More of the model's reasoning."""

    content: str


class TextDelta(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, gc=False
):
    """More of the answer; ``refusal`` marks the words of a model that declines."""

    content: str
    refusal: bool = False


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A marker in the text: its source and its span in code points of the text so far."""

    source_id: str
    start: int
    end: int


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A tool call; ``arguments`` is the JSON that the model wrote."""

    id: str
    name: str
    arguments: str


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A piece of a tool call: id and name come first, then arguments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """What a tool gave back, as text."""

    id: str
    name: str
    result: str
    is_error: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Tokens of one answer, all attempts together, and their cost where prices are known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None  # in the currency of the configured prices


class Reset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """The whole answer so far, to be shown instead of what a reader has; covers the log up to ``seq``."""

    text: str
    sources: tuple[Source, ...] = ()
    citations: tuple[Citation, ...] = ()
    seq: int = 0


class EventError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Why an answer failed; reads as its message."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None  # seconds, where a provider said how long to wait

    def __str__(self) -> str:
        return self.message


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Who stopped the answer: a principal's name, "deadline" or "disconnect"."""

    by: str


class Interrupted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """The producer died; ``seq`` is the last event that it had said."""

    seq: int


class StreamEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, gc=False
):
    """One event: a type, and the attributes of that type.

    Attributes that the type does not have are ``None`` and absent from the JSON.
    """

    type: EventType
    message_start: MessageStart | None = None
    step: StepInfo | None = None
    sources: tuple[Source, ...] | None = None
    queries: tuple[str, ...] | None = None  # what the sources were searched for, where that is known
    reasoning_delta: ReasoningDelta | None = None
    text_delta: TextDelta | None = None
    citation: Citation | None = None
    tool_call: ToolCall | None = None
    tool_call_delta: ToolCallDelta | None = None
    tool_result: ToolResult | None = None
    reset: Reset | None = None
    finish_reason: str | None = None  # stop, length, tool_calls, content_filter
    content: str | None = None  # the whole text, where nothing was streamed
    model: str | None = None  # the model that answered
    usage: Usage | None = None
    error: EventError | None = None
    cancelled: Cancelled | None = None
    interrupted: Interrupted | None = None

    @property
    def terminal(self) -> bool:
        """Whether nothing follows this event."""
        return self.type in TERMINAL


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StreamEvent)


def encode(event: msgspec.Struct) -> bytes:
    """Return the JSON of an event, or of what holds events: compact UTF-8 without line breaks.

    A lone surrogate, which UTF-8 cannot say, becomes U+FFFD.
    """
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return _encoder.encode(without_surrogates(msgspec.to_builtins(event)))


def decode(data: bytes) -> StreamEvent:
    """Return the event that ``encode`` wrote.

    Raises:
        msgspec.DecodeError: ``data`` is not an event.
    """
    return _decoder.decode(data)


def without_surrogates(value: Any) -> Any:
    """Return text, or what holds text, with U+FFFD for each half of a character."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [without_surrogates(item) for item in value]
        case _:
            return value
