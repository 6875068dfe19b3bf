"""Language models: the client, its providers and the policy between attempts.

``OpenAIProvider`` is looked up when it is first asked for: it imports the SDK, which takes a second.
"""

from typing import TYPE_CHECKING, Any

from ragstream.llm.base import Caller, ChatRequest, Provider, ToolSpec
from ragstream.llm.client import LLMClient
from ragstream.llm.deadlines import Timeouts
from ragstream.llm.generator import GeneratorProvider
from ragstream.llm.observing import Observation, Observer, Outcome
from ragstream.llm.policy import Attempt, RetryPolicy, decide, delay
from ragstream.llm.prices import Price
from ragstream.llm.scripted import ScriptedProvider
from ragstream.llm.tools import Tool

if TYPE_CHECKING:
    from ragstream.llm.openai import OpenAIProvider

__all__ = [
    "Attempt",
    "Caller",
    "ChatRequest",
    "GeneratorProvider",
    "LLMClient",
    "Observation",
    "Observer",
    "OpenAIProvider",
    "Outcome",
    "Price",
    "Provider",
    "RetryPolicy",
    "ScriptedProvider",
    "Timeouts",
    "Tool",
    "ToolSpec",
    "decide",
    "delay",
]


def __getattr__(name: str) -> Any:
    if name == "OpenAIProvider":
        from ragstream.llm.openai import OpenAIProvider

        return OpenAIProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
