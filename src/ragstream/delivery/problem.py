"""Problem details: every error that HTTP can still say, as RFC 9457 has it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from ragstream.errors import ErrorCode, InvalidField, RagstreamError
from ragstream.events import EventError, StreamEvent

__all__ = ["TITLES", "failure_status", "problem", "problem_of_ending", "problem_of_error"]

TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    415: "Unsupported Media Type", 421: "Misdirected Request", 422: "Unprocessable Content",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 507: "Insufficient Storage",
}  # fmt: skip

_FAILURE_STATUS = {
    ErrorCode.UPSTREAM_RATE_LIMITED: 503,
    ErrorCode.UPSTREAM_UNAVAILABLE: 503,
    ErrorCode.UPSTREAM_CONNECT_TIMEOUT: 504,
    ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT: 504,
    ErrorCode.UPSTREAM_TIMEOUT: 504,
    ErrorCode.UPSTREAM_TOTAL_TIMEOUT: 504,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.UNSUPPORTED_INPUT: 422,
    ErrorCode.OVER_BUDGET: 422,
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.STORE_UNAVAILABLE: 503,
    ErrorCode.RETRIEVAL_FAILED: 503,
    ErrorCode.STORAGE_FULL: 507,
    ErrorCode.INTERNAL: 500,
}
_RETRY_AFTER = 5.0  # seconds, where the failure does not say better


def failure_status(code: str) -> int:
    """Return the HTTP status of a failed answer; 502 where the provider is at fault and nothing fits."""
    return _FAILURE_STATUS.get(code, 502)  # type: ignore[call-overload, no-any-return]


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str,
    retry_after: float | None = None,
    **members: Any,
) -> Response:
    """Return a problem response; ``members`` are further members of the problem object."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **{name: value for name, value in members.items() if value},
    }
    headers = {"cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, round(retry_after)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), status, headers=headers, media_type="application/problem+json")


def problem_of_error(error: RagstreamError, *, request_id: str) -> Response:
    """Return the problem that an error of ours is; faults of ours show nothing of the inside."""
    members = {"path": error.path} if isinstance(error, InvalidField) else {}
    inside = error.status == 500
    return problem(
        error.status,
        ErrorCode.INTERNAL if inside else str(error.code),
        "The server failed; its log has the details under this request id." if inside else str(error),
        request_id=request_id,
        retry_after=error.retry_after or (_RETRY_AFTER if error.status == 503 else None),
        **members,
    )


def problem_of_ending(ending: StreamEvent, *, request_id: str, **members: Any) -> Response:
    """Return the problem that an answer's unhappy ending is."""
    if ending.error is not None:
        return _problem_of_failure(ending.error, request_id=request_id, **members)
    if ending.cancelled is not None:
        detail = f"The answer was stopped by {ending.cancelled.by}."
        return problem(409, "cancelled", detail, request_id=request_id, **members)
    detail = "The process that wrote this answer ended before the answer was whole; ask again."
    return problem(503, "interrupted", detail, request_id=request_id, retry_after=1, **members)


def _problem_of_failure(error: EventError, *, request_id: str, **members: Any) -> Response:
    status = failure_status(error.code)
    retry_after = (error.retry_after or _RETRY_AFTER) if status == 503 else None
    return problem(
        status, error.code, error.message, request_id=request_id, retry_after=retry_after, **members
    )
