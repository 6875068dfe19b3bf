"""Idempotency keys in the database."""

from __future__ import annotations

import time

from sqlalchemy import Connection, bindparam, delete, select

from ragstream.errors import IdempotencyMismatch
from ragstream.storage.database import Database
from ragstream.storage.schema import idempotency, per_engine

__all__ = ["SQLIdempotency"]

_FORGET = delete(idempotency).where(idempotency.c.created < bindparam("the_time"))
_CLAIM = per_engine(lambda insert: insert(idempotency).on_conflict_do_nothing())
_HELD = select(idempotency.c.body_hash, idempotency.c.stream_id).where(
    idempotency.c.owner == bindparam("the_owner"), idempotency.c.key == bindparam("the_key")
)

_RELEASE = delete(idempotency).where(
    idempotency.c.owner == bindparam("the_owner"),
    idempotency.c.key == bindparam("the_key"),
    idempotency.c.stream_id == bindparam("the_stream"),
)


class SQLIdempotency:
    """The keys of all owners, in the database.

    Args:
        database: where they are.
        keep: seconds for which a key is remembered.
    """

    def __init__(self, database: Database, *, keep: float = 24 * 3600.0) -> None:
        self._database = database
        self._keep = keep

    async def claim(self, owner: str, key: str, body_hash: str, stream_id: str) -> str:
        """Return the stream of the first question with this key, in whichever process it was claimed.

        Raises:
            IdempotencyMismatch: the first question had another body.
        """
        now = time.time()
        row = {"owner": owner, "key": key, "body_hash": body_hash, "stream_id": stream_id, "created": now}

        def claim(connection: Connection) -> tuple[str, str]:
            connection.execute(_FORGET, {"the_time": now - self._keep})
            if connection.execute(_CLAIM[connection.dialect.name], row).rowcount:
                return body_hash, stream_id
            held = connection.execute(_HELD, {"the_owner": owner, "the_key": key}).one()
            return held.body_hash, held.stream_id

        first_hash, first_stream = await self._database.write(claim)
        if first_hash != body_hash:
            raise IdempotencyMismatch(
                "This idempotency key was used with another body before; take a new one."
            )
        return first_stream

    async def release(self, owner: str, key: str, stream_id: str) -> None:
        """Forget the key, if it is this stream's."""
        row = {"the_owner": owner, "the_key": key, "the_stream": stream_id}
        await self._database.write(lambda connection: connection.execute(_RELEASE, row).close())
