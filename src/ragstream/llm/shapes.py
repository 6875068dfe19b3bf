"""The JSON of a chat completion, as far as it is read: streamed or not, in every provider's accent."""

from __future__ import annotations

from typing import Any

import msgspec

from ragstream.events import Usage

__all__ = ["CallPiece", "Chunk", "Delta", "Function", "TokenCounts", "decode_chunk", "parts_of", "usage_of"]


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


decode_chunk = msgspec.json.Decoder(Chunk).decode


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
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=usage.total_tokens or prompt + completion,
        cached_tokens=cached or 0,
        reasoning_tokens=reasoning or 0,
    )
