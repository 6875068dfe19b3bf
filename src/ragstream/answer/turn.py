"""One answer on its way through the lane."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ragstream.answer.citations import CitationWriter, text_events
from ragstream.blueprint import State
from ragstream.events import Answer, Message, Passage, Question, StreamEvent, Usage
from ragstream.llm.base import Provider
from ragstream.llm.policy import Attempt, RetryPolicy
from ragstream.llm.prices import add_usage
from ragstream.streamlog.base import Writer

__all__ = ["Turn"]


@dataclass(slots=True, kw_only=True)
class Turn(State):
    """The state of the answer lane; each field is set by one step, or is a ledger that only grows."""

    question: Question
    policy: RetryPolicy
    answer: Answer = field(default_factory=Answer)  # what was said; whoever pulls the lane applies events
    writer: Writer | None = None  # acknowledges what was said
    conversation: tuple[Message, ...] = ()  # what was said before, and the question
    query: str = ""  # the question, in the reader's words
    search: str = ""  # the question as it is searched for, standing on its own
    passages: tuple[Passage, ...] = ()  # what was found
    context: tuple[Passage, ...] = ()  # what of it the model sees, as [1], [2], ...
    citations: CitationWriter | None = None  # None: the provider's own markers stay as they are
    prompt: tuple[Message, ...] = ()
    route: Provider | None = None
    attempts: list[Attempt] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)  # of every call that this answer needed
    unsaid: deque[StreamEvent] = field(default_factory=deque)  # written by the model, next to be said
    completion: StreamEvent | None = None  # how the provider ended its successful attempt
    cause: BaseException | None = None  # why the answer has to be rescued

    @property
    def usage(self) -> Usage | None:
        """The tokens used so far, or None where no provider has told."""
        return add_usage(self.usages)

    def rest(self) -> Iterator[StreamEvent]:
        """Take what the model wrote and nobody has read yet: no more of it will come."""
        if self.citations is not None:
            self.unsaid += text_events(*self.citations.finish())
        while self.unsaid:
            yield self.unsaid.popleft()
