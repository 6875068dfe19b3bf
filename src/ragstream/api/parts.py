"""What the HTTP edge is handed by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ragstream.blueprint import Lane
from ragstream.delivery.kit import DeliveryKit
from ragstream.feeds import Ingest

__all__ = ["About", "ApiParts", "ApiSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the page needs to know before anything is asked."""

    name: str = "Ragstream"
    version: str
    model: str
    samples: tuple[str, ...] = ()
    auth_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Settings of the HTTP edge."""

    cors_origins: tuple[str, ...] = ()
    upload_max: int = 50 << 20  # bytes of one uploaded file
    web: Path | None = None  # the folder of the page; None serves no page


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything that the routes use."""

    lane: Lane  # the request lane
    kit: DeliveryKit
    about: About
    settings: ApiSettings
    library: Ingest | None = None  # None: somebody else's pipeline answers, without documents of ours
    ready: Callable[[], Awaitable[str | None]]  # None when a question can be taken, else what is missing
    metrics: Callable[[], tuple[bytes, str]]  # the exposition and its media type
