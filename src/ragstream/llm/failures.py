"""What a provider's failure means: statuses and error bodies to a ProviderError, without any key in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from ragstream.errors import ErrorCode, ProviderError

__all__ = ["bad_status", "clean", "retry_after", "said_error"]

_MESSAGE_CAP = 300  # characters of a provider's own words
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|key|api|xai|hf|AIza)[-_][\w*.-]{6,}|\bAIza[\w-]{10,}|(?i:bearer)\s+\S+|\b[\w-]{40,}"
)
_PASSING = {"rate_limit_exceeded", "rate_limit_error", "overloaded_error", "server_error", "timeout"}


def clean(text: str, key: str | None = None) -> str:
    """Return a provider's words as one short line without ``key`` or anything that looks like a key."""
    text = text.replace(key, "***") if key else text
    text = _SECRET.sub("***", " ".join(text.split()))
    return text if len(text) <= _MESSAGE_CAP else text[: _MESSAGE_CAP - 1] + "…"


def said_error(name: str, body: bytes, key: str | None = None) -> ProviderError:
    """Make the error of a provider that says "error" where an answer should be."""
    message, kind = _explained(body)
    passing = kind in _PASSING or (kind.isdigit() and (kind in {"408", "409", "429"} or kind[0] == "5"))
    words = clean(message, key) if message else "no reason was given"
    return ProviderError(
        f"{name} reports an error: {words}",
        code=ErrorCode.UPSTREAM_ERROR,
        provider=name,
        retryable=passing,
    )


def bad_status(
    name: str, status: int, headers: Mapping[str, str], body: bytes, key: str | None = None
) -> ProviderError:
    """Make the error of a provider that answered ``status`` instead of an answer."""
    message, kind = _explained(body)
    code = _code(status)
    waiting_helps = status in {408, 409, 429} or status >= 500
    words = f": {clean(message, key)}" if message else ""
    return ProviderError(
        f"{name} answered {status}{words}",
        code=code,
        provider=name,
        upstream_status=status,
        retryable=waiting_helps and kind != "insufficient_quota",
        retry_after=retry_after(headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the provider asks us to wait, said in seconds, milliseconds or as a date."""
    try:
        if "retry-after-ms" in headers:
            return _finite(float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        if value and not value.strip()[0].isalpha():
            return _finite(float(value))
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _finite(seconds: float) -> float | None:
    return min(max(seconds, 0.0), 1e6) if seconds == seconds else None


def _code(status: int) -> ErrorCode:
    match status:
        case 401 | 403:
            return ErrorCode.UPSTREAM_AUTH
        case 429:
            return ErrorCode.UPSTREAM_RATE_LIMITED
        case _ if status >= 500 or status in {408, 409}:
            return ErrorCode.UPSTREAM_UNAVAILABLE
        case _ if status >= 400:
            return ErrorCode.UPSTREAM_REJECTED
        case _:
            return ErrorCode.UPSTREAM_PROTOCOL


def _explained(body: bytes) -> tuple[str, str]:
    """Return message and kind of an error body, whichever of the common shapes it has."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""
    if isinstance(said, list) and said:  # Gemini wraps the object in a list
        said = said[0]
    if isinstance(said, dict) and isinstance(said.get("x_groq"), dict):
        said = said["x_groq"]
    inner = said.get("error", said) if isinstance(said, dict) else said
    if isinstance(inner, str):
        return inner, ""
    if not isinstance(inner, dict):
        return "", ""
    message = inner.get("message") or inner.get("detail") or ""
    kind = inner.get("code") or inner.get("type") or ""
    return (message if isinstance(message, str) else ""), str(kind)
