"""Answers questions from your documents and streams the answer while it is being written.

Names are looked up when they are first asked for, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragstream.bootstrap.facade import Ragstream
    from ragstream.events import Answer, EventType, Message, Options, StreamEvent, Usage
    from ragstream.llm import (
        ChatRequest,
        LLMClient,
        OpenAIProvider,
        Price,
        Provider,
        RetryPolicy,
        ScriptedProvider,
        Timeouts,
        Tool,
        ToolSpec,
    )

__all__ = [
    "Answer",
    "ChatRequest",
    "EventType",
    "LLMClient",
    "Message",
    "OpenAIProvider",
    "Options",
    "Price",
    "Provider",
    "Ragstream",
    "RetryPolicy",
    "ScriptedProvider",
    "StreamEvent",
    "Timeouts",
    "Tool",
    "ToolSpec",
    "Usage",
]

_HOMES = {
    "Answer": "ragstream.events",
    "ChatRequest": "ragstream.llm",
    "EventType": "ragstream.events",
    "LLMClient": "ragstream.llm",
    "Message": "ragstream.events",
    "OpenAIProvider": "ragstream.llm",
    "Options": "ragstream.events",
    "Price": "ragstream.llm",
    "Provider": "ragstream.llm",
    "Ragstream": "ragstream.bootstrap.facade",
    "RetryPolicy": "ragstream.llm",
    "ScriptedProvider": "ragstream.llm",
    "StreamEvent": "ragstream.events",
    "Timeouts": "ragstream.llm",
    "Tool": "ragstream.llm",
    "ToolSpec": "ragstream.llm",
    "Usage": "ragstream.events",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value
