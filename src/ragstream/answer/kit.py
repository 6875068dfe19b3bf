"""What the answer lane may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ragstream.errors import ConfigError
from ragstream.events import Usage
from ragstream.knowledge.base import Retriever
from ragstream.llm.base import Caller
from ragstream.llm.tools import Tool
from ragstream.storage.base import Turns, TurnStatus

__all__ = ["SEARCH_TOOL", "AnswerKit", "AnswerSettings", "FollowUps", "Meter"]

FollowUps = Literal["model", "terms", "off"]
SEARCH_TOOL = "search_documents"  # its name, as the model sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettings:
    """How answers are made.

    ``follow_ups`` says how a question that leans on earlier ones becomes a search: the model rewrites it,
    the earlier terms are carried over, or nothing is done.
    """

    system_prompt: str = ""  # "": our own
    retrieval_limit: int = 12  # passages
    least_score: float = 0.1  # a passage below it is as good as none; see ``Retriever``
    context_budget: int = 12_000  # characters of passages in the prompt
    history_limit: int = 20  # earlier turns
    history_budget: int = 16_000  # characters of earlier turns in the prompt
    follow_ups: FollowUps = "terms"
    rewrite_seconds: float = 5.0  # to wait for the model to rewrite a follow-up
    search_tool: bool = False  # whether the model may search on by itself
    tool_rounds: int = 5  # of tool calls in one answer
    tool_seconds: float = 30.0  # for one call
    closing_seconds: float = 4.0  # to acknowledge and store an answer; the engine stops all closing after 5

    def __post_init__(self) -> None:
        if self.retrieval_limit < 1 or self.context_budget < 1:
            raise ConfigError("AnswerSettings: retrieval_limit and context_budget must be at least 1")
        if self.tool_rounds < 0:
            raise ConfigError("AnswerSettings: tool_rounds must be at least 0")
        if min(self.rewrite_seconds, self.tool_seconds, self.closing_seconds) <= 0:
            raise ConfigError(
                "AnswerSettings: rewrite_seconds, tool_seconds and closing_seconds must be above 0"
            )


class Meter(Protocol):
    """Counts answers and what they cost."""

    def answered(self, *, model: str, status: TurnStatus, usage: Usage | None, attempts: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerKit:
    """The parts behind the lane's steps."""

    turns: Turns
    llm: Caller
    retriever: Retriever | None  # None: the provider brings its own sources, prompt and citations
    meter: Meter
    tools: tuple[Tool, ...] = ()  # what the model may call
    settings: AnswerSettings = AnswerSettings()

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools] + [SEARCH_TOOL] * self.searches
        if len(set(names)) < len(names):
            raise ConfigError("AnswerKit: two tools have the same name: rename one")

    @property
    def searches(self) -> bool:
        """Whether the model may search on by itself."""
        return self.settings.search_tool and self.retriever is not None
