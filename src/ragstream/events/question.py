"""What one turn is asked, and what retrieval found for it."""

from __future__ import annotations

from typing import Any

import msgspec

from ragstream.events.message import Message

__all__ = ["Options", "Passage", "Question"]


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the model shall write; unset ones are the provider's own."""

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extras: dict[str, Any] = {}  # further options of the configured provider, by name


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One turn to be answered; ids are chosen before anything is said."""

    stream_id: str  # 32 hexadecimal digits, 128 random bits
    message_id: str
    session_id: str
    request_id: str
    owner: str  # the principal's name
    messages: tuple[Message, ...]  # the whole conversation, or its newest message where `continues`
    continues: bool  # the earlier messages come from the store
    branches_from: str = ""  # the answer after which its new session goes on, with all that was said up to it
    replaces: str = ""  # the answer that this one is another version of
    model: str | None = None
    options: Options = Options()
    metadata: dict[str, Any] = {}
    include_steps: bool = False
    created: int  # seconds since the epoch

    @property
    def recalls(self) -> bool:
        """Whether the store has earlier messages of the conversation."""
        return self.continues or bool(self.branches_from)


class Passage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a document, with its place: what an answer may cite."""

    id: str
    document_id: str
    title: str
    uri: str
    text: str
    start: int  # in characters of the document's text
    end: int
    score: float
    page: int | None = None  # counted from 1
    heading: str | None = None
