"""What is kept beyond an answer: sessions and their turns."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from ragstream.events import Citation, Message, Source, StreamEvent, Usage

__all__ = ["Idempotency", "Session", "Sessions", "Turn", "TurnStatus", "Turns"]

TurnStatus = Literal["streaming", "complete", "failed", "cancelled", "interrupted"]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; ``created`` and ``updated`` are seconds since the epoch."""

    id: str
    owner: str
    name: str
    created: float
    updated: float


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A question and its answer, whole, partial or under way."""

    stream_id: str
    message_id: str
    session_id: str
    owner: str
    question: tuple[Message, ...]  # the messages that were new with this turn
    created: float
    continues: bool = False  # its session was there before: one that is gone is not made anew; not stored
    branches_from: str = ""  # the answer after which its new session goes on; not stored
    replaces: str = ""  # the turn that this one is another version of
    model: str = ""
    metadata: dict[str, Any] = {}
    status: TurnStatus = "streaming"
    text: str = ""
    reasoning: str = ""
    sources: tuple[Source, ...] = ()
    citations: tuple[Citation, ...] = ()
    usage: Usage | None = None
    ending: StreamEvent | None = None  # the terminal event, once there is one


class Sessions(Protocol):
    """The conversations. Somebody else's session is as absent as a missing one."""

    async def create(self, session: Session) -> None: ...
    async def get(self, session_id: str, owner: str) -> Session | None: ...
    async def list(self, owner: str, *, limit: int = 100) -> list[Session]: ...  # newest first
    async def rename(self, session_id: str, owner: str, name: str) -> Session | None: ...
    async def delete(self, session_id: str, owner: str) -> bool: ...  # its turns go with it


class Turns(Protocol):
    """The turns of all sessions. Each call is one transaction and raises StoreError where it fails."""

    async def open(self, turn: Turn) -> None:
        """Store the question, its answer under way, and the session if it is new.

        A session's first question gives it its name. A session that branches from an answer begins with the
        ended turns of that answer's session, up to it, under ids of their own. NotFound: the session is
        somebody else's, or what the turn continues or branches from is gone.
        """

    async def close(self, turn: Turn) -> None:
        """Store the answer with its ending: the turn's commit point. Idempotent; the first ending stays.

        A complete answer takes the place of the turn that it replaces: that one, and what came after it and
        before this one, is gone. Any other ending leaves all as it was.
        """

    async def get(self, stream_id: str) -> Turn | None: ...
    async def history(self, session_id: str, *, limit: int = 200) -> list[Turn]: ...  # oldest first
    async def clear(self, session_id: str) -> list[str]: ...  # returns the stream ids of what is gone
    async def unfinished(self) -> list[Turn]: ...  # without an ending


class Idempotency(Protocol):
    """The keys by which clients mark a question that they may send twice, by owner."""

    async def claim(self, owner: str, key: str, body_hash: str, stream_id: str) -> str:
        """Return the stream of the first question with this key, which is ``stream_id`` if there was none.

        Raises:
            IdempotencyMismatch: the first question had another body.
        """
        ...

    async def release(self, owner: str, key: str, stream_id: str) -> None: ...  # if it is that stream's
