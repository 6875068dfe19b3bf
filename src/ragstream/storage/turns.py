"""Turns in the database.

A turn is opened with its question and closed with its ending. Both may come twice, late, or in the wrong
order: the caller may have been stopped, or may have waited in vain for a commit that then came. So each is
conditional, and what stands already stays. A turn that is cleared while it is under way leaves an
empty row behind, which keeps its close from bringing it back.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, bindparam, case, delete, literal_column, select, update

from ragstream.errors import NotFound
from ragstream.storage.base import Turn
from ragstream.storage.branches import branch
from ragstream.storage.database import Database
from ragstream.storage.naming import name_for
from ragstream.storage.replacing import first_version
from ragstream.storage.rows import answer_columns, is_id, turn_columns, turn_from
from ragstream.storage.schema import CLEARED, PerEngine, per_engine, sessions, turns

__all__ = ["SQLTurns", "clear_turns"]

_LATEST_CLOSE = 24 * 3600.0  # seconds; by then an answer whose turn was cleared has ended

_the_stream = turns.c.stream_id == bindparam("the_stream")
_the_session = turns.c.session_id == bindparam("the_session")
# Constants rather than parameters: only so a partial index serves.
_under_way = turns.c.status == literal_column("'streaming'")
_cleared = turns.c.status == literal_column(f"'{CLEARED}'")

_OPEN = per_engine(lambda insert: insert(turns).on_conflict_do_nothing())
_UPDATE = (
    update(turns)
    .where(_the_stream, _under_way)
    .values(status=bindparam("status"), answered=bindparam("answered"))
)
_CLOSE = per_engine(
    lambda insert: (new := insert(turns)).on_conflict_do_update(
        index_elements=["stream_id"],
        set_={"status": new.excluded.status, "answered": new.excluded.answered},
        where=_under_way,
    )
)
_TOUCH = per_engine(
    lambda insert: (new := insert(sessions)).on_conflict_do_update(
        index_elements=["id"],
        set_={
            "name": case((sessions.c.name == "", new.excluded.name), else_=sessions.c.name),
            "updated": new.excluded.updated,
        },
        where=sessions.c.owner == new.excluded.owner,
    )
)
_CONTINUE = (
    update(sessions)
    .where(sessions.c.id == bindparam("the_session"), sessions.c.owner == bindparam("the_owner"))
    .values(
        name=case((sessions.c.name == "", bindparam("the_name")), else_=sessions.c.name),
        updated=bindparam("the_time"),
    )
)
_GET = select(turns).where(_the_stream, ~_cleared)
_HISTORY = select(turns).where(_the_session).order_by(turns.c.n.desc()).limit(bindparam("the_limit"))
_UNFINISHED = select(turns).where(_under_way).order_by(turns.c.n)

_EVER = 2**62  # beyond the number of any turn
_the_range = turns.c.n >= bindparam("the_first"), turns.c.n < bindparam("the_end")
_CLEAR_OPEN = (
    update(turns)
    .where(_the_session, *_the_range, _under_way)
    .values(status=CLEARED, session_id="", asked="{}", answered="{}", created=bindparam("the_time"))
    .returning(turns.c.stream_id)
)
_CLEAR_ENDED = delete(turns).where(_the_session, *_the_range).returning(turns.c.stream_id)
_SWEEP = delete(turns).where(_cleared, turns.c.created < bindparam("the_time"))


class SQLTurns:
    """The turns of all sessions, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, turn: Turn) -> None:
        """Store the question, its answer under way, and the session if it is new.

        Raises:
            NotFound: the session is somebody else's, or what the turn continues or branches from is gone;
                nothing is stored.
        """
        await self._database.write(lambda connection: _insert(connection, _OPEN, turn))

    async def close(self, turn: Turn) -> None:
        """Store the answer with its ending, unless it has one or was cleared; also if it was never opened.

        Raises:
            NotFound: the turn was never opened, and could not be opened now; nothing is stored.
        """

        def close(connection: Connection) -> None:
            columns = {"the_stream": turn.stream_id, **answer_columns(turn)}
            taken = connection.execute(_UPDATE, columns).rowcount > 0 or _insert(connection, _CLOSE, turn)
            if taken and turn.replaces and turn.status == "complete":
                _replace(connection, turn)

        await self._database.write(close)

    async def get(self, stream_id: str) -> Turn | None:
        """Return the turn."""
        if not is_id(stream_id):
            return None
        row = await self._database.read(
            lambda connection: connection.execute(_GET, {"the_stream": stream_id}).one_or_none()
        )
        return turn_from(row) if row else None

    async def history(self, session_id: str, *, limit: int = 200) -> list[Turn]:
        """Return the session's newest turns, the oldest of them first."""
        if not is_id(session_id):
            return []
        asked = {"the_session": session_id, "the_limit": limit}
        rows = await self._database.read(lambda connection: connection.execute(_HISTORY, asked).all())
        return [turn_from(row) for row in reversed(rows)]

    async def clear(self, session_id: str) -> list[str]:
        """Delete the session's turns and return their stream ids."""
        if not is_id(session_id):
            return []
        return await self._database.write(lambda connection: clear_turns(connection, session_id))

    async def unfinished(self) -> list[Turn]:
        """Return the turns without an ending, the oldest first."""
        rows = await self._database.read(lambda connection: connection.execute(_UNFINISHED).all())
        return [turn_from(row) for row in rows]


def clear_turns(connection: Connection, session_id: str, first: int = 0, end: int = _EVER) -> list[str]:
    """Delete a session's turns, or a range of them, within a transaction; return their stream ids."""
    session, now = {"the_session": session_id, "the_first": first, "the_end": end}, time.time()
    connection.execute(_SWEEP, {"the_time": now - _LATEST_CLOSE})
    under_way = connection.execute(_CLEAR_OPEN, session | {"the_time": now}).scalars().all()
    ended = connection.execute(_CLEAR_ENDED, session).scalars().all()
    return [*ended, *under_way]


def _insert(connection: Connection, statement: PerEngine, turn: Turn) -> bool:
    """Insert the turn and, only where that did something, touch its session or make it; return whether."""
    engine = connection.dialect.name
    if turn.branches_from:
        branch(connection, turn)
    if not connection.execute(statement[engine], turn_columns(turn)).rowcount:
        return False
    if not _touch(connection, turn):
        raise NotFound("There is no such session.")
    return True


def _replace(connection: Connection, turn: Turn) -> None:
    """Delete what a complete turn takes the place of: its earlier versions, and all that came after them."""
    numbers: dict[str, int] = {}

    def get(stream_id: str) -> Turn | None:
        row = connection.execute(_GET, {"the_stream": stream_id}).one_or_none()
        if row is None or row.session_id != turn.session_id:
            return None
        numbers[row.stream_id] = row.n
        return turn_from(row)

    if get(turn.stream_id) and (first := first_version(turn.replaces, get)):
        clear_turns(connection, turn.session_id, numbers[first.stream_id], numbers[turn.stream_id])


def _touch(connection: Connection, turn: Turn) -> bool:
    """Note a new turn in its session, and return whether that is there."""
    name, now = name_for(turn.question), time.time()
    if turn.continues:
        found = {
            "the_session": turn.session_id,
            "the_owner": turn.owner,
            "the_name": name,
            "the_time": now,
        }
        return connection.execute(_CONTINUE, found).rowcount > 0
    session = {
        "id": turn.session_id,
        "owner": turn.owner,
        "name": name,
        "created": turn.created,
        "updated": now,
    }
    return connection.execute(_TOUCH[connection.dialect.name], session).rowcount > 0
