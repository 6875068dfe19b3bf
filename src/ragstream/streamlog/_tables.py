"""The SQL of the SQLite log: plain functions of a connection, run in a worker's thread.

An event is a row, in the order of arrival, found by an index over log and seq: that halves the cost of
appending to many logs at once, beside a table clustered by log. What a log amounts to is noted when it ends;
until then it is counted from its events, so that appending a batch is one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ragstream.errors import ConfigError, StreamExists
from ragstream.streamlog._live import page
from ragstream.streamlog._local import Stored
from ragstream.streamlog.base import Record

__all__ = ["append", "claim", "create", "delete", "expired", "find", "forget", "read", "unfinished"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    stream_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    ended REAL,       -- seconds since the epoch; until then the next three are NULL
    last_seq INTEGER,
    last_type TEXT,
    size INTEGER,     -- bytes of its events
    deleted REAL      -- the row stays for a while, so that the id is not used again
);
CREATE TABLE event (
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX event_by_seq ON event (log, seq);
"""
_FOUND = """
SELECT stream_id, owner, id,
    coalesce(last_seq, (SELECT max(seq) FROM event WHERE log = id), 0),
    last_type,
    coalesce(size, (SELECT sum(length(data)) FROM event WHERE log = id), 0)
FROM log WHERE deleted IS NULL
"""
_EXPIRED = """
SELECT stream_id FROM (
    SELECT stream_id, ended, sum(size) OVER (ORDER BY ended DESC, id DESC) AS total
    FROM log WHERE ended IS NOT NULL AND deleted IS NULL
) WHERE ended < ? OR total > ?
"""

Ending = tuple[float, int, str, int, int]  # ended, last_seq, last_type, size, id


def create(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file.

    Raises:
        ConfigError: the file was written by a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise ConfigError(
            f"{path} was written by a later version of Ragstream: upgrade, or choose another data directory."
        )
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def unfinished(connection: sqlite3.Connection) -> list[Stored]:
    """Return the logs without a terminal event."""
    return [_stored(row) for row in connection.execute(f"{_FOUND} AND ended IS NULL")]


def claim(connection: sqlite3.Connection, stream_id: str, owner: str) -> int:
    """Note a new log and return its id."""
    try:
        cursor = connection.execute("INSERT INTO log (stream_id, owner) VALUES (?, ?)", (stream_id, owner))
    except sqlite3.IntegrityError as fault:
        raise StreamExists(f"The stream id {stream_id} has been used.") from fault
    assert cursor.lastrowid is not None  # noqa: S101 - it is what was inserted
    return cursor.lastrowid


def append(connection: sqlite3.Connection, rows: Sequence[object], endings: Sequence[Ending]) -> None:
    """Store a batch whole or not at all; ``rows`` are log, seq, type and data of each event in turn."""
    statement = _insert(len(rows) // 4)
    if not endings:
        connection.execute(statement, rows)
        return
    with _transaction(connection):
        connection.execute(statement, rows)
        connection.executemany(
            "UPDATE log SET ended = ?, last_seq = ?, last_type = ?, size = ? WHERE id = ?", endings
        )


def find(connection: sqlite3.Connection, stream_id: str) -> Stored | None:
    """Return what is known of a log."""
    row = connection.execute(f"{_FOUND} AND stream_id = ?", (stream_id,)).fetchone()
    return None if row is None else _stored(row)


def read(connection: sqlite3.Connection, log: int, after: int) -> tuple[Record, ...]:
    """Return the next page of a log's events."""
    rows = connection.execute(
        "SELECT seq, type, data FROM event WHERE log = ? AND seq > ? ORDER BY seq LIMIT 500", (log, after)
    )
    return page(Record(*row) for row in rows)


def delete(connection: sqlite3.Connection, stream_id: str, now: float) -> None:
    """Delete a log's events, and note when."""
    with _transaction(connection):
        connection.execute(
            "DELETE FROM event WHERE log = (SELECT id FROM log WHERE stream_id = ?)", (stream_id,)
        )
        connection.execute(
            "UPDATE log SET deleted = ? WHERE stream_id = ? AND deleted IS NULL", (now, stream_id)
        )


def expired(connection: sqlite3.Connection, horizon: float, total_bytes: int) -> list[str]:
    """Return the logs that ended before the horizon, and the oldest beyond the total."""
    return [stream_id for (stream_id,) in connection.execute(_EXPIRED, (horizon, total_bytes))]


def forget(connection: sqlite3.Connection, horizon: float) -> None:
    """Forget the ids of logs that were deleted before the horizon."""
    connection.execute("DELETE FROM log WHERE deleted < ?", (horizon,))


@cache
def _insert(count: int) -> str:
    return f"INSERT INTO event VALUES {','.join(['(?,?,?,?)'] * count)}"  # noqa: S608 - no text of others


def _stored(row: tuple[str, str, int, int, str | None, int]) -> Stored:
    stream_id, owner, key, last_seq, last_type, size = row
    return Stored(
        stream_id=stream_id, owner=owner, key=key, last_seq=last_seq, last_type=last_type, size=size
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise
