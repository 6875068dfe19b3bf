"""What comes in: the bodies of each protocol, validated by Pydantic."""

from ragstream.api.schemas.base import parse
from ragstream.api.schemas.chat import CompletionRequest
from ragstream.api.schemas.native import ChatRequest, RenameRequest, SessionRequest
from ragstream.api.schemas.responses import ResponseRequest
from ragstream.api.schemas.ui import AgentRequest, UIChatRequest

__all__ = [
    "AgentRequest",
    "ChatRequest",
    "CompletionRequest",
    "RenameRequest",
    "ResponseRequest",
    "SessionRequest",
    "UIChatRequest",
    "parse",
]
