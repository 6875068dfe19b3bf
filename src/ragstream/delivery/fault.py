"""What went wrong, as HTTP can say it: a status, a code and words, whatever form a protocol gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ragstream.errors import ErrorCode, InvalidField, NotFound, RagstreamError
from ragstream.events import EventError, StreamEvent

__all__ = ["Fault", "failure_status", "fault_of_ending", "fault_of_error"]

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
    NotFound.code: 404,  # the session was deleted while the question came in
}
_RETRY_AFTER = 5.0  # seconds, where the failure does not say better


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault; ``members`` are further facts of it, by name."""

    status: int
    code: str
    detail: str
    retry_after: float | None = None  # seconds, where waiting helps
    retryable: bool = False
    members: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response that says it."""
        headers = {"cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


def failure_status(code: str) -> int:
    """Return the HTTP status of a failed answer; 502 where the provider is at fault and nothing fits."""
    return _FAILURE_STATUS.get(code, 502)


def fault_of_error(error: RagstreamError) -> Fault:
    """Return the fault that an error of ours is; faults of ours show nothing of the inside."""
    inside = error.status == 500
    return Fault(
        status=error.status,
        code=ErrorCode.INTERNAL if inside else str(error.code),
        detail="The server failed; its log has the details under this request id." if inside else str(error),
        retry_after=error.retry_after or (_RETRY_AFTER if error.status == 503 else None),
        retryable=error.retryable,
        members={"path": error.path} if isinstance(error, InvalidField) else {},
    )


def fault_of_ending(ending: StreamEvent, **members: Any) -> Fault:
    """Return the fault that an answer's unhappy ending is."""
    if ending.error is not None:
        return _fault_of_failure(ending.error, members)
    if ending.cancelled is not None:
        detail = f"The answer was stopped by {ending.cancelled.by}."
        return Fault(status=409, code="cancelled", detail=detail, members=members)
    detail = "The process that wrote this answer ended before the answer was whole; ask again."
    return Fault(
        status=503, code="interrupted", detail=detail, retry_after=1, retryable=True, members=members
    )


def _fault_of_failure(error: EventError, members: dict[str, Any]) -> Fault:
    status = failure_status(error.code)
    return Fault(
        status=status,
        code=error.code,
        detail=error.message,
        retry_after=(error.retry_after or _RETRY_AFTER) if status == 503 else None,
        retryable=error.retryable,
        members=members,
    )
