"""What leaves: msgspec structs as JSON, never cached. Answers and history have modules of their own."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.responses import Response

from ragstream.feeds.base import IngestStatus
from ragstream.knowledge.base import Document, KnowledgeSize

__all__ = [
    "DocumentList",
    "DocumentText",
    "OpenAIError",
    "OpenAIErrorDetail",
    "Problem",
    "SessionList",
    "SessionOut",
    "Status",
    "StreamState",
    "reply",
]


class SessionOut(msgspec.Struct, frozen=True):
    """A conversation; times in seconds since the epoch."""

    id: str
    name: str
    created: float
    updated: float


class SessionList(msgspec.Struct, frozen=True):
    """The caller's conversations, the newest first."""

    sessions: list[SessionOut]


class StreamState(msgspec.Struct, frozen=True):
    """How far a stop has come."""

    stream_id: str
    state: Literal["cancelling", "ended"]


class DocumentList(msgspec.Struct, frozen=True, kw_only=True):
    """The documents, how much is known, and how far their reading has come."""

    documents: list[Document]
    size: KnowledgeSize
    ingest: IngestStatus


class DocumentText(msgspec.Struct, frozen=True, kw_only=True):
    """A document's text."""

    id: str
    title: str
    uri: str
    text: str


class Status(msgspec.Struct, frozen=True):
    """How the service is."""

    status: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str  # one line that says what to do
    code: str  # for programs
    request_id: str
    path: str | None = None  # the field that is wrong
    stream_id: str | None = None  # the answer that ended unhappily, its session and what was said of it
    session_id: str | None = None
    text: str | None = None


class OpenAIErrorDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    code: str
    param: str | None  # the field that is wrong
    request_id: str
    stream_id: str | None = None  # the answer that ended unhappily, its session and what was said of it
    session_id: str | None = None
    text: str | None = None


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """An error of the routes under ``/v1``."""

    error: OpenAIErrorDetail


def reply(value: Any, status: int = 200) -> Response:
    """Return ``value`` as a JSON response."""
    return Response(
        msgspec.json.encode(value),
        status,
        headers={"cache-control": "no-store"},
        media_type="application/json",
    )
