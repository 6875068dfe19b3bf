"""What the request lane needs of others: an answer to pull, and a reader of request bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec
from starlette.requests import Request

from ragstream.delivery.protocols.base import Dialect
from ragstream.delivery.protocols.native import NativeDialect
from ragstream.events import Answer, Message, Options, Question, StreamEvent
from ragstream.storage.base import Turn
from ragstream.streamlog.base import Writer

__all__ = ["HOUSE_MODEL", "AnswerRun", "Answerer", "Follow", "Inquiry", "Intake"]


HOUSE_MODEL = "ragstream"  # by this name whatever is configured answers


class AnswerRun(Protocol):
    """One answer, to be pulled once. Only the supervisor pulls it."""

    question: Question
    answer: Answer  # what was said so far; whoever pulls applies each event, then appends it

    @property
    def ending(self) -> StreamEvent | None:
        """The terminal event, once it is decided; a stop changes nothing from then on."""
        ...

    def attach(self, writer: Writer) -> None:
        """Say who acknowledges the events; called once, before the first pull."""

    def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Run the lane from its start."""
        ...

    def rescue(self, cause: BaseException) -> AsyncGenerator[StreamEvent, None]:
        """Run the turn from its lane's rescue node: ``events`` was closed or left, or its process died."""
        ...


class Answerer(Protocol):
    """Makes answers."""

    model: str  # what answers where a question names no model
    models: tuple[str, ...]  # what the configured providers answer with by themselves
    options: frozenset[str]  # names of the provider's further options that a question may set

    def prepare(self, question: Question) -> AnswerRun:
        """Make an answer that has not begun."""
        ...

    def revive(self, turn: Turn, said: Answer) -> AnswerRun:
        """Rebuild an answer whose process died, from its stored row and its log, to be rescued."""
        ...


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A question as a request puts it, in any protocol.

    With the session of ``session_id``, or the one of the answer ``previous``, only the last ``newest``
    messages are new; without one, all of them are.
    """

    messages: tuple[Message, ...]
    newest: int = 1
    session_id: str | None = None
    previous: str | None = None  # the stream of the answer that this one goes on from, the newest or not
    anew: str | None = None  # the id of the answer to give anew; "": the newest, if it answers this question
    makes_session: bool = False  # a session that is not there yet is begun under this id
    model: str | None = None
    any_model: bool = True  # whether the provider may know models that are not configured
    options: Options = Options()
    wishes: dict[str, Any] = {}  # further options, left out where the provider does not take them
    metadata: dict[str, Any] = {}
    include_steps: bool = False
    streaming: bool = True
    wait: bool = True  # False: a whole is told as it stands now
    dialect: Dialect = NativeDialect()


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to read an answer that has begun, beyond the event ``after`` of the log or of the dialect.

    Without ``stream_id`` it is the one that is under way in the session, if there is one.
    """

    stream_id: str = ""
    session_id: str = ""
    after: int = 0
    streaming: bool = True
    wait: bool = True  # False: a whole is told as it stands now
    dialect: Dialect = NativeDialect()


class Intake(Protocol):
    """How one route reads its requests."""

    has_body: bool
    dialect: Dialect  # in which it refuses

    def parse(self, request: Request, body: bytes) -> Inquiry | Follow:
        """Return what the request wants.

        Raises:
            RequestError: it cannot be understood or honoured.
        """
        ...
