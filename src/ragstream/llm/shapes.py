"""The JSON of a chat completion, as far as it is read: streamed or not, in every provider's accent."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from ragstream.events import Usage

__all__ = [
    "CallPiece",
    "Chunk",
    "Delta",
    "Function",
    "TokenCounts",
    "decode_chunk",
    "decode_leniently",
    "decode_text",
    "parts_of",
    "usage_of",
]


_Nothing = Literal["", None]
_MOST_TOKENS = 1 << 53  # what every reader of JSON can count to


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None  # instead of it, in an answer in one piece
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class TokenCounts(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Groq(msgspec.Struct, gc=False):
    usage: TokenCounts | None = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    usage: TokenCounts | None = None
    model: str | None = None
    error: Any = None
    object: str | None = None
    x_groq: Groq | None = None


class _Text(msgspec.Struct, gc=False):
    content: Annotated[str, msgspec.Meta(min_length=1)]
    reasoning_content: _Nothing = None
    reasoning: _Nothing = None
    refusal: _Nothing = None
    tool_calls: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None


class _TextChoice(msgspec.Struct, gc=False):
    delta: _Text
    index: Literal[0, None] = None
    finish_reason: _Nothing = None


class _TextChunk(msgspec.Struct, gc=False):
    choices: tuple[_TextChoice]
    usage: None = None
    model: str | None = None
    error: None = None
    object: Literal["chat.completion.chunk", "", None] = None
    x_groq: None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_text = msgspec.json.Decoder(
    _TextChunk
).decode  # of a chunk that says nothing but text, as nearly all do


def decode_leniently(data: bytes) -> Chunk:
    """Read a chunk that is not quite one: half a character, a count as text, a model's name that is none.

    Raises:
        ValueError: what it says cannot be read.
    """
    said = json.loads(data.decode())
    try:
        return msgspec.convert(said, Chunk, strict=False)
    except msgspec.ValidationError:
        if not isinstance(said, dict):
            raise
        essential = {name: said[name] for name in ("choices", "error") if name in said}
        return msgspec.convert(essential, Chunk, strict=False)


def parts_of(delta: Delta) -> tuple[str, str]:
    """Return reasoning and text of a delta that has reasoning or says its content in parts (Mistral)."""
    reasoning = next((r for r in (delta.reasoning_content, delta.reasoning) if r and isinstance(r, str)), "")
    if not isinstance(delta.content, list):
        return reasoning, delta.content or ""
    text = ""
    for part in delta.content:
        if isinstance(part, dict) and part.get("type") == "thinking":
            reasoning += "".join(_text_of(thought) for thought in part.get("thinking") or ())
        else:
            text += _text_of(part)
    return reasoning, text


def _text_of(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def usage_of(usage: TokenCounts) -> Usage:
    """Return what a provider counted, in our words."""
    prompt, completion = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    asked, said = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage.total_tokens) or prompt + completion,
        cached_tokens=_count(asked.cached_tokens if asked else None),
        reasoning_tokens=_count(said.reasoning_tokens if said else None),
    )


def _count(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), _MOST_TOKENS)
