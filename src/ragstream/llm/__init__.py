"""Language models: the client, its providers and the policy between attempts."""

from ragstream.llm.base import Caller, ChatRequest, Provider, ToolSpec
from ragstream.llm.generator import GeneratorProvider
from ragstream.llm.policy import Attempt, RetryPolicy, decide, delay
from ragstream.llm.scripted import ScriptedProvider

__all__ = [
    "Attempt",
    "Caller",
    "ChatRequest",
    "GeneratorProvider",
    "Provider",
    "RetryPolicy",
    "ScriptedProvider",
    "ToolSpec",
    "decide",
    "delay",
]
