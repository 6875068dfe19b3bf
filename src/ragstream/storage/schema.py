"""The tables of ``app.db``: one schema for SQLite and PostgreSQL.

Ids are text that we gave out. What people and models wrote is JSON in text columns, encoded by msgspec, so
that NUL, which PostgreSQL refuses in text, is stored like anything else. A change here needs a migration: a
test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["CLEARED", "PerEngine", "idempotency", "metadata", "per_engine", "sessions", "turns"]

CLEARED = "cleared"  # a turn that was deleted while it was under way: its answer must not bring it back

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("sessions_of_owner", "owner", "updated"),
    implicit_returning=False,
)

turns = Table(
    "turns",
    metadata,
    # The order of a conversation: clocks step back, this does not.
    Column("n", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("stream_id", Text, nullable=False, unique=True),
    Column("message_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("asked", Text, nullable=False),
    Column("answered", Text, nullable=False),
    Index("turns_of_session", "session_id", "n"),
    *(
        Index(
            f"turns_{status}",
            "created",
            sqlite_where=text(f"status = '{status}'"),
            postgresql_where=text(f"status = '{status}'"),
        )
        for status in ("streaming", CLEARED)
    ),
    implicit_returning=False,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("stream_id", Text, nullable=False),
    Column("created", Double, nullable=False),
    Index("idempotency_by_age", "created"),
    implicit_returning=False,
)

PerEngine = dict[str, Any]  # the name of an engine -> the same statement in its dialect


def per_engine(build: Callable[[Callable[[Table], Any]], Any]) -> PerEngine:
    """Build one statement with each dialect's own ``insert``: the core has no ``ON CONFLICT``."""
    return {"sqlite": build(sqlite.insert), "postgresql": build(postgresql.insert)}
