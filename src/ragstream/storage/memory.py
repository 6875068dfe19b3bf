"""The same stores in memory, for one process that forgets: ``ragstream ask``, and tests of one's own."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ragstream.errors import Conflict, IdempotencyMismatch, NotFound
from ragstream.storage.base import Session, Turn
from ragstream.storage.branches import ANSWER_GONE, LONGEST_BRANCH, copied
from ragstream.storage.naming import name_for, writable_name
from ragstream.storage.replacing import first_version

__all__ = ["MemoryIdempotency", "MemorySessions", "MemoryTurns"]

_ANSWER = ("status", "model", "text", "reasoning", "sources", "citations", "usage", "ending")


class MemoryTurns:
    """The turns; ``sessions`` are those that they belong to."""

    def __init__(self, sessions: MemorySessions | None = None) -> None:
        self.sessions = sessions or MemorySessions()
        self.sessions.turns = self
        self.rows: dict[str, Turn] = {}
        self._cleared: set[str] = set()  # while they were under way

    async def open(self, turn: Turn) -> None:
        """Store the question, and the session if it is new."""
        if turn.stream_id not in self.rows and turn.stream_id not in self._cleared:
            earlier = self._branch(turn) if turn.branches_from else {}
            self.sessions.touch(turn)
            self.rows |= earlier | {turn.stream_id: turn}

    async def close(self, turn: Turn) -> None:
        """Store the answer with its ending, unless it has one or was cleared; see ``base.Turns``."""
        await self.open(turn)
        if (row := self.rows.get(turn.stream_id)) and row.ending is None:
            self.rows[turn.stream_id] = msgspec.structs.replace(
                row,
                **{name: getattr(turn, name) for name in _ANSWER},
            )
            if turn.replaces and turn.status == "complete":
                self._replace(turn)

    async def get(self, stream_id: str) -> Turn | None:
        """Return the turn."""
        return self.rows.get(stream_id)

    async def history(self, session_id: str, *, limit: int = 200) -> list[Turn]:
        """Return the session's newest turns, the oldest of them first."""
        turns = [turn for turn in self.rows.values() if turn.session_id == session_id]
        return turns[max(0, len(turns) - limit) :]

    async def clear(self, session_id: str) -> list[str]:
        """Delete the session's turns and return their stream ids."""
        return self._clear([turn for turn in self.rows.values() if turn.session_id == session_id])

    async def unfinished(self) -> list[Turn]:
        """Return the turns without an ending."""
        return [turn for turn in self.rows.values() if turn.ending is None]

    def _clear(self, gone: list[Turn]) -> list[str]:
        self._cleared |= {turn.stream_id for turn in gone if turn.ending is None}
        for turn in gone:
            del self.rows[turn.stream_id]
        return [turn.stream_id for turn in gone]

    def _replace(self, turn: Turn) -> None:
        of_session = [one for one in self.rows.values() if one.session_id == turn.session_id]
        first = first_version(turn.replaces, {one.stream_id: one for one in of_session}.get)
        if first is not None:
            self._clear(of_session[of_session.index(first) : of_session.index(self.rows[turn.stream_id])])

    def _branch(self, turn: Turn) -> dict[str, Turn]:
        root = self.rows.get(turn.branches_from)
        if root is None or root.owner != turn.owner:
            raise NotFound(ANSWER_GONE)
        of_session = [one for one in self.rows.values() if one.session_id == root.session_id]
        up_to = of_session[: of_session.index(root) + 1]
        copies = [copied(one, turn) for one in up_to if one.ending is not None]
        return {one.stream_id: one for one in copies[-LONGEST_BRANCH:]}


class MemorySessions:
    """The conversations."""

    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.turns: MemoryTurns | None = None

    async def create(self, session: Session) -> None:
        """Store a new session."""
        if session.id in self.rows:
            raise Conflict("This session exists already.")
        self.rows[session.id] = msgspec.structs.replace(session, name=writable_name(session.name))

    async def get(self, session_id: str, owner: str) -> Session | None:
        """Return the owner's session."""
        session = self.rows.get(session_id)
        return session if session and session.owner == owner else None

    async def list(self, owner: str, *, limit: int = 100) -> list[Session]:
        """Return the owner's sessions, the one with the newest question first."""
        mine = [session for session in self.rows.values() if session.owner == owner]
        return sorted(mine, key=lambda session: (-session.updated, session.id))[:limit]

    async def rename(self, session_id: str, owner: str, name: str) -> Session | None:
        """Give the owner's session another name, and return it."""
        if session := await self.get(session_id, owner):
            session = msgspec.structs.replace(session, name=writable_name(name))
            self.rows[session_id] = session
        return session

    async def delete(self, session_id: str, owner: str) -> bool:
        """Delete the owner's session with its turns, and return whether it was there."""
        if await self.get(session_id, owner) is None:
            return False
        del self.rows[session_id]
        if self.turns:
            await self.turns.clear(session_id)
        return True

    def touch(self, turn: Turn) -> None:
        """Note a new turn, which makes its session if that is new and not merely gone."""
        if turn.continues and turn.session_id not in self.rows:
            raise NotFound("There is no such session.")
        name, now = name_for(turn.question), time.time()
        new = Session(id=turn.session_id, owner=turn.owner, name=name, created=turn.created, updated=now)
        session = self.rows.setdefault(new.id, new)
        if session.owner != turn.owner:
            raise NotFound("There is no such session.")
        self.rows[new.id] = msgspec.structs.replace(session, name=session.name or name, updated=now)


class MemoryIdempotency:
    """The keys of all owners; ``keep`` is for how many seconds each is remembered."""

    def __init__(self, *, keep: float = 24 * 3600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.rows: dict[tuple[str, str], tuple[str, str, float]] = {}  # the oldest first
        self._keep, self._clock = keep, clock

    async def claim(self, owner: str, key: str, body_hash: str, stream_id: str) -> str:
        """Return the stream of the first question with this key."""
        self._forget()
        first_hash, first_stream, _ = self.rows.setdefault(
            (owner, key), (body_hash, stream_id, self._clock())
        )
        if first_hash != body_hash:
            raise IdempotencyMismatch(
                "This idempotency key was used with another body before; take a new one."
            )
        return first_stream

    async def release(self, owner: str, key: str, stream_id: str) -> None:
        """Forget the key, if it is this stream's."""
        if self.rows.get((owner, key), ("", "", 0.0))[1] == stream_id:
            del self.rows[owner, key]

    def _forget(self) -> None:
        horizon = self._clock() - self._keep
        while self.rows and next(iter(self.rows.values()))[2] < horizon:
            del self.rows[next(iter(self.rows))]
