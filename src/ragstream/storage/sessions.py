"""Sessions in the database."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from ragstream.errors import Conflict
from ragstream.storage.base import Session
from ragstream.storage.database import Database
from ragstream.storage.naming import writable_name
from ragstream.storage.rows import is_id, session_from
from ragstream.storage.schema import per_engine, sessions
from ragstream.storage.turns import clear_turns

__all__ = ["SQLSessions"]

_mine = (sessions.c.id == bindparam("the_id"), sessions.c.owner == bindparam("the_owner"))
_CREATE = per_engine(lambda insert: insert(sessions).on_conflict_do_nothing())
_GET = select(sessions).where(*_mine)
_LIST = (
    select(sessions)
    .where(sessions.c.owner == bindparam("the_owner"))
    .order_by(sessions.c.updated.desc(), sessions.c.id)
    .limit(bindparam("the_limit"))
)
_RENAME = update(sessions).where(*_mine).values(name=bindparam("the_name"))
_DELETE = delete(sessions).where(*_mine)


class SQLSessions:
    """The conversations, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, session: Session) -> None:
        """Store a new session.

        Raises:
            Conflict: its id is taken.
        """
        row = msgspec.structs.asdict(session) | {"name": writable_name(session.name)}

        def create(connection: Connection) -> int:
            return connection.execute(_CREATE[connection.dialect.name], row).rowcount

        if not await self._database.write(create):
            raise Conflict("This session exists already.")

    async def get(self, session_id: str, owner: str) -> Session | None:
        """Return the owner's session."""
        if not is_id(session_id):
            return None
        return await self._database.read(lambda connection: _get(connection, session_id, owner))

    async def list(self, owner: str, *, limit: int = 100) -> list[Session]:
        """Return the owner's sessions, the one with the newest question first."""
        asked = {"the_owner": owner, "the_limit": limit}
        rows = await self._database.read(lambda connection: connection.execute(_LIST, asked).all())
        return [session_from(row) for row in rows]

    async def rename(self, session_id: str, owner: str, name: str) -> Session | None:
        """Give the owner's session another name, and return it."""
        if not is_id(session_id):
            return None
        row = {"the_id": session_id, "the_owner": owner, "the_name": writable_name(name)}

        def rename(connection: Connection) -> Session | None:
            connection.execute(_RENAME, row)
            return _get(connection, session_id, owner)

        return await self._database.write(rename)

    async def delete(self, session_id: str, owner: str) -> bool:
        """Delete the owner's session with its turns, and return whether it was there."""
        if not is_id(session_id):
            return False

        def forget(connection: Connection) -> bool:
            gone = connection.execute(_DELETE, {"the_id": session_id, "the_owner": owner}).rowcount > 0
            if gone:
                clear_turns(connection, session_id)
            return gone

        return await self._database.write(forget)


def _get(connection: Connection, session_id: str, owner: str) -> Session | None:
    row = connection.execute(_GET, {"the_id": session_id, "the_owner": owner}).one_or_none()
    return session_from(row) if row else None
