"""A conversation as its reader sees it: turns as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ragstream.events import Citation, EventError, Source, Usage
from ragstream.storage.base import Turn

__all__ = ["ChatHistory", "HistoryMessage", "history_of"]


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message; what only answers have is absent from questions."""

    role: str
    content: Any
    message_id: str
    stream_id: str
    created: float
    status: str | None = None
    sources: tuple[Source, ...] | None = None
    citations: tuple[Citation, ...] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: EventError | None = None


class ChatHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of one conversation, the oldest first."""

    session_id: str
    messages: tuple[HistoryMessage, ...]


def history_of(turns: Iterable[Turn]) -> tuple[HistoryMessage, ...]:
    """Return the messages of the turns: what was asked, then what was answered."""
    return tuple(message for turn in turns for message in (*_questions(turn), _answer(turn)))


def _questions(turn: Turn) -> list[HistoryMessage]:
    return [
        HistoryMessage(
            role=message.role,
            content=message.content,
            message_id=turn.message_id,
            stream_id=turn.stream_id,
            created=turn.created,
        )
        for message in turn.question
    ]


def _answer(turn: Turn) -> HistoryMessage:
    return HistoryMessage(
        role="assistant",
        content=turn.text,
        message_id=turn.message_id,
        stream_id=turn.stream_id,
        created=turn.created,
        status=turn.status,
        sources=turn.sources,
        citations=turn.citations,
        finish_reason=turn.ending.finish_reason if turn.ending else None,
        usage=turn.usage,
        error=turn.ending.error if turn.ending else None,
    )
