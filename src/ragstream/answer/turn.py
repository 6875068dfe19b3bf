"""One answer on its way through the lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ragstream.answer.citations import CitationWriter, as_written, text_events
from ragstream.answer.route import Route
from ragstream.blueprint import State
from ragstream.events import Answer, Message, Passage, Question, StreamEvent, ToolCall, ToolResult, Usage
from ragstream.llm.base import ChatRequest
from ragstream.llm.continuation import continued
from ragstream.llm.conversation import tool_messages
from ragstream.llm.policy import Attempt, RetryPolicy
from ragstream.llm.prices import add_usage
from ragstream.llm.tools import Toolbox
from ragstream.streamlog.base import Writer

__all__ = ["GAP", "Round", "Turn"]

GAP = "\n\n"  # between what was said before a round of tools and after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round of tool calls that were executed, and where the turn stood after it."""

    messages: tuple[Message, ...] = ()  # the calls and their results, as the model is told
    text: str = ""  # of the answer so far
    citations: int = 0
    attempts: int = 0


_BEGINNING = Round()


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
    searched: list[str] = field(default_factory=list)  # whatever was searched for
    passages: tuple[Passage, ...] = ()  # what was found
    context: list[Passage] = field(default_factory=list)  # what of it the model sees, as [1], [2], ...
    citations: CitationWriter | None = None  # None: the provider's own markers stay as they are
    toolbox: Toolbox | None = None  # None: calls are not the lane's to execute
    prompt: tuple[Message, ...] = ()
    route: Route | None = None  # replaced as providers fail and budgets shrink
    attempts: list[Attempt] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)  # of tools
    usages: list[Usage] = field(default_factory=list)  # of every call that this answer needed
    unsaid: list[StreamEvent] = field(default_factory=list)  # written by the model, next to be said
    completion: StreamEvent | None = None  # how the provider ended its last successful attempt
    calls: tuple[ToolCall, ...] = ()  # what the model called in it, for the lane to execute
    unstored: StreamEvent | None = None  # the ending, while it is being stored: until then it has failed
    cause: BaseException | None = None  # why the answer has to be rescued

    @property
    def usage(self) -> Usage | None:
        """The tokens used so far, or None where no provider has told."""
        return add_usage(self.usages)

    @property
    def before(self) -> Round:
        """Where the turn stood when the present round began."""
        return self.rounds[-1] if self.rounds else _BEGINNING

    @property
    def tries(self) -> Sequence[Attempt]:
        """The attempts of the present round."""
        return self.attempts[self.before.attempts :]

    @property
    def written(self) -> str:
        """What was said in the present round, with the numbers that the model knows."""
        before, answer = self.before, self.answer
        ids = [source.id for source in answer.sources]
        own = self.citations is not None
        citations = answer.citations[before.citations :] if own else ()
        return as_written(answer.text, citations, ids, start=len(before.text)).removeprefix(GAP)

    def request(self, model: str | None) -> ChatRequest:
        """Return what a provider is asked now: to go on from what another one said, if policy says so."""
        question = self.question
        request = ChatRequest(
            messages=(*self.prompt, *(message for each in self.rounds for message in each.messages)),
            model=model,
            options=question.options,
            tools=self.toolbox.specs if self.toolbox is not None else (),
            passages=tuple(self.context),
            session_id=question.session_id,
            metadata=question.metadata,
        )
        said = self.written if self.tries and self.policy.after_delta == "continue" else ""
        return continued(request, said) if said else request

    def rest(self) -> Iterator[StreamEvent]:
        """Take what the model wrote and nobody has read yet: no more of it will come."""
        if self.citations is not None:
            self.unsaid += text_events(*self.citations.finish())
        while self.unsaid:
            yield self.unsaid.pop(0)

    def end_round(self, results: Sequence[ToolResult]) -> None:
        """Note that the model's calls were executed: what it says next begins a new round."""
        answer = self.answer
        ended = Round(
            messages=tool_messages(self.written, self.calls, results),
            text=answer.text,
            citations=len(answer.citations),
            attempts=len(self.attempts),
        )
        self.rounds.append(ended)
        if self.citations is not None:
            self.citations.keep()
