"""Turns and sessions as rows of the tables, and back."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row

from ragstream.events import Citation, Message, Source, StreamEvent, Usage, encode
from ragstream.storage.base import Session, Turn

__all__ = ["answer_columns", "is_id", "session_from", "turn_columns", "turn_from"]


class _Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    question: tuple[Message, ...]
    metadata: dict[str, Any] = {}
    replaces: str = ""


class _Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str = ""
    text: str = ""
    reasoning: str = ""
    sources: tuple[Source, ...] = ()
    citations: tuple[Citation, ...] = ()
    usage: Usage | None = None
    ending: StreamEvent | None = None


_decode_asked = msgspec.json.Decoder(_Asked).decode
_decode_answered = msgspec.json.Decoder(_Answered).decode


def turn_columns(turn: Turn) -> dict[str, Any]:
    """Return the turn's row, without its number."""
    return {
        "stream_id": turn.stream_id,
        "message_id": turn.message_id,
        "session_id": turn.session_id,
        "owner": turn.owner,
        "created": turn.created,
        "asked": encode(_Asked(turn.question, turn.metadata, turn.replaces)).decode(),
        **answer_columns(turn),
    }


def answer_columns(turn: Turn) -> dict[str, Any]:
    """Return the columns that the answer fills."""
    answered = _Answered(
        turn.model, turn.text, turn.reasoning, turn.sources, turn.citations, turn.usage, turn.ending
    )
    return {"status": turn.status, "answered": encode(answered).decode()}


def turn_from(row: Row[Any]) -> Turn:
    """Return the turn that a row of the table says."""
    asked, answered = _decode_asked(row.asked), _decode_answered(row.answered)
    return Turn(
        stream_id=row.stream_id,
        message_id=row.message_id,
        session_id=row.session_id,
        owner=row.owner,
        question=asked.question,
        created=row.created,
        metadata=asked.metadata,
        replaces=asked.replaces,
        status=row.status,
        **{name: getattr(answered, name) for name in _Answered.__struct_fields__},
    )


def session_from(row: Row[Any]) -> Session:
    """Return the session that a row of the table says."""
    return Session(id=row.id, owner=row.owner, name=row.name, created=row.created, updated=row.updated)


def is_id(text: str) -> bool:
    """Return whether ``text`` can be an id of ours; what cannot is not worth a query, or breaks it."""
    return bool(text) and text.isascii() and text.isprintable()
