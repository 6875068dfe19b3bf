"""Requests in the shape of OpenAI's Chat Completions: what is sent, and what is refused by name before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Never

import msgspec

from ragstream.errors import ErrorCode, InvalidField, ProviderError
from ragstream.events import FilePart, ImagePart, Message, ToolCall
from ragstream.llm.base import ChatRequest

__all__ = ["ALL_FEATURES", "Feature", "chat_body", "check_input", "read_messages", "wire_message"]

Feature = Literal["images", "files", "tools"]
ALL_FEATURES: frozenset[Feature] = frozenset({"images", "files", "tools"})

_OURS = {"messages", "model", "stream", "stream_options", "tools"}  # set by us, so not by an extra


def chat_body(
    request: ChatRequest,
    *,
    provider: str,
    model: str,
    takes: Collection[Feature] = ALL_FEATURES,
    max_tokens_name: str = "max_tokens",
) -> dict[str, Any]:
    """Return the JSON body that asks ``provider`` for an answer, streamed or not.

    Raises:
        ProviderError: unsupported_input: the request has something that the provider does not take.
    """
    check_input(request, provider, takes)
    options = request.options
    tools = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in request.tools]
    body: dict[str, Any] = {
        "model": model,
        "messages": [wire_message(message) for message in request.messages],
        "temperature": options.temperature,
        max_tokens_name: options.max_tokens,
        "seed": options.seed,
        "stop": list(options.stop) or None,
        "tools": tools or None,
    }
    return {name: value for name, value in body.items() if value is not None} | options.extras


def read_messages(messages: Sequence[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return messages that may be mappings in OpenAI's shape as messages.

    Raises:
        InvalidField: a message has not that shape; the path says which.
    """
    if isinstance(messages, str | Mapping) or not messages:
        raise InvalidField("messages must be a list of at least one message", path="messages")
    return tuple(_read(message, f"messages[{index}]") for index, message in enumerate(messages))


def _read(message: Message | Mapping[str, Any], path: str) -> Message:
    if isinstance(message, Message):
        return message
    try:
        calls = tuple(
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        )
        return msgspec.convert({**message, "tool_calls": calls}, Message)
    except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
        reason = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidField(f"{path}: {reason}", path=path) from error


def wire_message(message: Message) -> dict[str, Any]:
    """Return a message in the shape of OpenAI's Chat Completions."""
    said: dict[str, Any] = {"role": message.role, "content": msgspec.to_builtins(message.content)}
    if message.name:
        said["name"] = message.name
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return said


def check_input(request: ChatRequest, provider: str, takes: Collection[Feature]) -> None:
    """Refuse by name what the provider does not take.

    Raises:
        ProviderError: unsupported_input: the request has something else than text and what it takes.
    """
    if request.tools and "tools" not in takes:
        _refuse(provider, "tools")
    if request.options.extras.get("n", 1) != 1:
        _refuse(provider, "option n: one answer is read, so only one can be asked for")
    if taken := _OURS & request.options.extras.keys():
        _refuse(provider, f"extra option {min(taken)}: it is set by the request itself")
    for index, message in enumerate(request.messages):
        parts = message.content if isinstance(message.content, tuple) else ()
        for part in parts:
            if isinstance(part, ImagePart) and "images" not in takes:
                _refuse(provider, f"images; messages[{index}] has one")
            if isinstance(part, FilePart) and "files" not in takes:
                _refuse(provider, f"files; messages[{index}] has one")
        if (message.tool_calls or message.role == "tool") and "tools" not in takes:
            _refuse(provider, f"tool calls and results; messages[{index}] has one")


def _refuse(provider: str, what: str) -> Never:
    raise ProviderError(f"{provider} cannot take {what}", code=ErrorCode.UNSUPPORTED_INPUT, provider=provider)
