"""Stream set-up: everything about a streamed response that is known before its first event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request

from ragstream.delivery.protocols.base import Dialect, Projection
from ragstream.delivery.protocols.native import NativeDialect
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import NotAcceptable
from ragstream.identity.base import Principal
from ragstream.storage.base import Session

__all__ = [
    "StreamContext",
    "StreamSetup",
    "accepts_gzip",
    "admits",
    "prepare",
    "require_event_stream",
    "stream_headers",
]

Headers = tuple[tuple[bytes, bytes], ...]
_NATIVE = NativeDialect()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamContext:
    """Whom the stream is for."""

    owner: str
    session_id: str | None  # None: a session will be made
    session_name: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSetup:
    """How one response streams; times in seconds."""

    context: StreamContext
    projection: Projection
    headers: Headers
    compression: bool
    heartbeat: float
    head_hold: float
    write_deadline: float
    cors_origin: str | None  # the page that asks, where its origin was sent


def prepare(
    request: Request,
    settings: DeliverySettings,
    *,
    principal: Principal,
    session: Session | None,
    request_id: str,
    dialect: Dialect = _NATIVE,
    after: int = 0,
) -> StreamSetup:
    """Return the set-up for this request and these settings; ``after`` is the reader's cursor."""
    compression = settings.compression and accepts_gzip(request.headers.get("accept-encoding", ""))
    return StreamSetup(
        context=StreamContext(
            owner=principal.name,
            session_id=session.id if session else None,
            session_name=session.name if session else "",
            request_id=request_id,
        ),
        projection=dialect.projection(after=after, retry=settings.retry),
        headers=stream_headers(settings, compression=compression, more=dialect.headers),
        compression=compression,
        heartbeat=settings.heartbeat,
        head_hold=settings.head_hold,
        write_deadline=settings.write_deadline,
        cors_origin=request.headers.get("origin"),
    )


@lru_cache(maxsize=64)  # one tuple for all streams alike, not one for each
def stream_headers(
    settings: DeliverySettings, *, compression: bool, more: tuple[tuple[str, str], ...] = ()
) -> Headers:
    """Return the headers of a streamed response; the ids are added where they are known."""
    headers = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        *([("content-encoding", "gzip")] if compression else []),
        *([("vary", "accept-encoding")] if settings.compression else []),
        *more,
        *settings.headers,
    ]
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def require_event_stream(request: Request) -> None:
    """Refuse a reader that does not take an event stream.

    Raises:
        NotAcceptable: ``Accept`` excludes ``text/event-stream``.
    """
    if not admits(request.headers.get("accept"), "text/event-stream"):
        raise NotAcceptable("This route answers text/event-stream; add it to Accept, or ask /chat for JSON.")


def admits(accept: str | None, media_type: str) -> bool:
    """Return whether an ``Accept`` header admits the media type (RFC 9110, 12.5.1)."""
    if accept is None or not accept.strip():
        return True
    family = media_type.split("/")[0] + "/*"
    quality = dict(_weighted(accept))
    for wanted in (media_type, family, "*/*"):
        if wanted in quality:
            return quality[wanted] > 0
    return False


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an ``Accept-Encoding`` header admits gzip."""
    quality = dict(_weighted(accept_encoding))
    return quality.get("gzip", quality.get("*", 0.0)) > 0


def _weighted(header: str) -> list[tuple[str, float]]:
    pairs = []
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            pairs.append((name, float(weight)))
        except ValueError:
            pairs.append((name, 0.0))
    return pairs
