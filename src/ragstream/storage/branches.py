"""A session that goes on from an earlier answer of another one: it begins with what was said up to there.

The turns are copied, so each session is whole by itself, whatever becomes of the other. A copy has an id that
follows from the new turn's, so that a question which is stored twice copies once; it has no log.
"""

from __future__ import annotations

import hashlib

import msgspec
from sqlalchemy import Connection, bindparam, literal_column, select

from ragstream.errors import NotFound
from ragstream.storage.base import Turn
from ragstream.storage.rows import is_id, turn_columns, turn_from
from ragstream.storage.schema import CLEARED, per_engine, turns

__all__ = ["ANSWER_GONE", "LONGEST_BRANCH", "branch", "copied"]

LONGEST_BRANCH = 200  # turns: as many as a history shows
ANSWER_GONE = "There is no such answer to go on from."

_ENDED = turns.c.status.not_in([literal_column("'streaming'"), literal_column(f"'{CLEARED}'")])
_ROOT = select(turns.c.n, turns.c.session_id).where(
    turns.c.stream_id == bindparam("the_root"),
    turns.c.owner == bindparam("the_owner"),
    turns.c.status != CLEARED,
)
_UP_TO = (
    select(turns)
    .where(turns.c.session_id == bindparam("the_session"), turns.c.n <= bindparam("the_last"), _ENDED)
    .order_by(turns.c.n.desc())
    .limit(LONGEST_BRANCH)
)
_IS_THERE = select(turns.c.n).where(turns.c.stream_id == bindparam("the_stream"))
_COPY = per_engine(lambda insert: insert(turns).on_conflict_do_nothing())


def branch(connection: Connection, turn: Turn) -> None:
    """Begin the new turn's session with the turns up to the answer that it branches from, unless it has them.

    Raises:
        NotFound: that answer is gone, or is somebody else's.
    """
    if connection.execute(_IS_THERE, {"the_stream": turn.stream_id}).first():
        return
    asked = {"the_root": turn.branches_from, "the_owner": turn.owner}
    root = connection.execute(_ROOT, asked).one_or_none() if is_id(turn.branches_from) else None
    if root is None:
        raise NotFound(ANSWER_GONE)
    up_to = {"the_session": root.session_id, "the_last": root.n}
    earlier = [turn_from(row) for row in connection.execute(_UP_TO, up_to)]
    if earlier:
        rows = [turn_columns(copied(one, turn)) for one in reversed(earlier)]
        connection.execute(_COPY[connection.dialect.name], rows)


def copied(earlier: Turn, turn: Turn) -> Turn:
    """Return the earlier turn as one of the new turn's session."""
    stream_id, message_id = _ids(turn, earlier.stream_id)
    return msgspec.structs.replace(
        earlier,
        stream_id=stream_id,
        message_id=message_id,
        session_id=turn.session_id,
        replaces=_ids(turn, earlier.replaces)[0] if earlier.replaces else "",
    )


def _ids(turn: Turn, stream_id: str) -> tuple[str, str]:
    digest = hashlib.sha256(f"{turn.stream_id} {stream_id}".encode()).hexdigest()
    return digest[:32], digest[32:]
