"""Every error that Ragstream raises, split by whose fault it is.

    RagstreamError
    ├── RequestError                    the caller's: change the request
    │   ├── BadJSON · BadCursor · BadIdempotencyKey · BadRequest                  400
    │   ├── Unauthorized                                                         401
    │   ├── BadOrigin                                                            403
    │   ├── NotFound · ModelNotFound                                             404
    │   ├── NotAcceptable                                                        406
    │   ├── RequestTimeout                                                       408
    │   ├── CursorAhead · Conflict                                               409
    │   ├── CursorExpired                                                        410
    │   ├── BodyTooLarge                                                         413
    │   ├── URLTooLong                                                           414
    │   ├── UnsupportedMediaType · TypeMismatch                                  415
    │   ├── BadHost                                                              421
    │   ├── InvalidField · IdempotencyMismatch · DocumentRejected                422
    │   ├── TooManyRequests                                                      429
    │   └── HeadersTooLarge                                                      431
    ├── ReaderError                     the reader's line: the answer goes on without it
    │   ├── ReaderLeft
    │   └── ReaderEvicted
    ├── ProviderError                   the model provider's: an ErrorCode says which
    │   └── CircuitOpen                 it failed so often that it is not asked at the moment
    ├── StoreError                      the disk's or the database's
    │   ├── StorageUnavailable                                                   503
    │   ├── StorageFull                                                          507
    │   ├── RetrievalFailed                                                      503
    │   └── LeaseLost                   this process no longer owns the stream
    ├── AnswerStopped                   somebody's word ended the answer: ``by`` says whose
    ├── ProducerDied                    the process that wrote the answer is gone, or going
    ├── LimitExceeded                   a cap of ours ended the answer
    ├── Unavailable                     the server is starting, draining or full       503
    ├── ConfigError                     the operator's: names the setting and the fix
    └── ProgrammingError                ours, or that of code built on us
        ├── BlueprintError              the diagram and the functions disagree
        ├── IllegalEvent                an event that the grammar does not allow here
        ├── StreamConsumed              a second iteration of a single-pass stream
        └── StreamExists                a stream id was used twice

An error has a ``code`` (a stable word for programs), a message (one line for people that says what to
do) and, where HTTP has one, a ``status``. Foreign exceptions are mapped where they enter, ``from exc``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "AnswerStopped",
    "BadCursor",
    "BadHost",
    "BadIdempotencyKey",
    "BadJSON",
    "BadOrigin",
    "BadRequest",
    "BlueprintError",
    "BodyTooLarge",
    "CircuitOpen",
    "ConfigError",
    "Conflict",
    "CursorAhead",
    "CursorExpired",
    "DocumentRejected",
    "ErrorCode",
    "HeadersTooLarge",
    "IdempotencyMismatch",
    "IllegalEvent",
    "InvalidField",
    "LeaseLost",
    "LimitExceeded",
    "ModelNotFound",
    "NotAcceptable",
    "NotFound",
    "ProducerDied",
    "ProgrammingError",
    "ProviderError",
    "RagstreamError",
    "ReaderError",
    "ReaderEvicted",
    "ReaderLeft",
    "RequestError",
    "RequestTimeout",
    "RetrievalFailed",
    "StorageFull",
    "StorageUnavailable",
    "StoreError",
    "StreamConsumed",
    "StreamExists",
    "TooManyRequests",
    "TypeMismatch",
    "URLTooLong",
    "Unauthorized",
    "Unavailable",
    "UnsupportedMediaType",
]


class ErrorCode(StrEnum):
    """What a ``failed`` event may carry as its code."""

    UPSTREAM_UNREACHABLE = "upstream_unreachable"  # refused, unknown host, cut before the head
    UPSTREAM_AUTH = "upstream_auth"  # the provider did not take our key: 401 or 403
    UPSTREAM_REJECTED = "upstream_rejected"  # the provider found fault with the request: other 4xx
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"  # 429
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"  # 5xx, or its circuit is open
    UPSTREAM_CONNECT_TIMEOUT = "upstream_connect_timeout"  # no connection in time
    UPSTREAM_FIRST_TOKEN_TIMEOUT = "upstream_first_token_timeout"  # noqa: S105 - connected, nothing said
    UPSTREAM_TIMEOUT = "upstream_timeout"  # silence between two tokens
    UPSTREAM_TOTAL_TIMEOUT = "upstream_total_timeout"  # the whole call took too long
    UPSTREAM_TRUNCATED = "upstream_truncated"  # ended without a finish reason
    UPSTREAM_PROTOCOL = "upstream_protocol"  # not the protocol: HTML, bad JSON, a line beyond the cap
    UPSTREAM_ERROR = "upstream_error"  # the provider said "error" inside the stream
    UPSTREAM_EMPTY = "upstream_empty"  # finished, having said nothing
    UNSUPPORTED_INPUT = "unsupported_input"  # the provider cannot take this message or option
    OVER_BUDGET = (
        "over_budget"  # the estimated cost is above the budget, or not known of a model that was asked for
    )
    TOOL_ROUNDS_EXCEEDED = "tool_rounds_exceeded"  # the model kept calling tools
    ANSWER_TOO_LARGE = "answer_too_large"  # the byte cap of one answer
    DEADLINE_EXCEEDED = "deadline_exceeded"  # the answer's own deadline
    ANSWER_REPLACED = "answer_replaced"  # a reset that the reader's protocol cannot say
    STORAGE_UNAVAILABLE = "storage_unavailable"  # the turn could not be stored
    STORAGE_FULL = "storage_full"  # the disk is full
    STORE_UNAVAILABLE = "store_unavailable"  # the stream log did not take the events
    RETRIEVAL_FAILED = "retrieval_failed"  # the knowledge base could not be searched
    AUTH_EXPIRED = "auth_expired"  # the reader's key ended while it read
    INTERNAL = "internal"  # a fault of ours; the server's log has the details


class RagstreamError(Exception):
    """Base of all our errors; ``str(error)`` is the message."""

    code: str = ErrorCode.INTERNAL
    status: ClassVar[int] = 500
    retryable: bool = False
    retry_after: float | None = None  # seconds, where waiting helps


class RequestError(RagstreamError):
    """The caller's request cannot be honoured as it is."""

    code = "bad_request"
    status = 400


class BadRequest(RequestError):
    """The request contradicts itself."""


class BadJSON(RequestError):
    """The body is not JSON; the message has line and column."""

    code = "bad_json"


class BadCursor(RequestError):
    """The cursor is not a number that we gave out."""

    code = "bad_cursor"


class BadIdempotencyKey(RequestError):
    """The idempotency key is too long or has control characters."""

    code = "bad_idempotency_key"


class Unauthorized(RequestError):
    """No valid key came with the request; one message for every reason."""

    code = "unauthorized"
    status = 401


class BadOrigin(RequestError):
    """A browser asks on behalf of a site that is not allowed."""

    code = "bad_origin"
    status = 403


class NotFound(RequestError):
    """It is not there, or it is somebody else's: both sound alike."""

    code = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """The model asked for is not configured; the message names those that are."""

    code = "model_not_found"


class NotAcceptable(RequestError):
    """``Accept`` does not admit what this route answers."""

    code = "not_acceptable"
    status = 406


class RequestTimeout(RequestError):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408


class Conflict(RequestError):
    """The request does not fit the present state."""

    code = "conflict"
    status = 409


class CursorAhead(Conflict):
    """The cursor lies beyond the end of the log."""

    code = "cursor_ahead"


class CursorExpired(RequestError):
    """The log is gone and nothing was stored of it."""

    code = "cursor_expired"
    status = 410


class BodyTooLarge(RequestError):
    """The body is larger than the limit, which the message names."""

    code = "body_too_large"
    status = 413


class URLTooLong(RequestError):
    """Path and query are longer than the limit, which the message names."""

    code = "url_too_long"
    status = 414


class UnsupportedMediaType(RequestError):
    """The body's type or encoding is not one that this route reads."""

    code = "unsupported_media_type"
    status = 415


class TypeMismatch(UnsupportedMediaType):
    """A file is not what its name says."""

    code = "type_mismatch"


class BadHost(RequestError):
    """The ``Host`` header names a host that this server is not."""

    code = "bad_host"
    status = 421


class InvalidField(RequestError):
    """A field has a wrong value; ``path`` says which."""

    code = "invalid_field"
    status = 422

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class IdempotencyMismatch(RequestError):
    """The idempotency key was used before with another body."""

    code = "idempotency_mismatch"
    status = 422


class DocumentRejected(RequestError):
    """A document cannot be read: broken, encrypted, or too large once unpacked."""

    code = "document_unprocessable"
    status = 422

    def __init__(self, message: str, *, code: str = "document_unprocessable") -> None:
        super().__init__(message)
        self.code = code


class TooManyRequests(RequestError):
    """A rate or a count is used up; the code says which."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after: float, code: str = "too_many_requests") -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class HeadersTooLarge(RequestError):
    """There are more headers, or larger ones, than the limit, which the message names."""

    code = "headers_too_large"
    status = 431


class ReaderError(RagstreamError):
    """A reader is gone; the answer is not touched by it."""


class ReaderLeft(ReaderError):
    """The reader closed the connection."""

    code = "reader_left"


class ReaderEvicted(ReaderError):
    """The reader took nothing for longer than the write deadline; it may resume."""

    code = "reader_evicted"


class ProviderError(RagstreamError):
    """A model provider failed; ``code`` says how, ``provider`` who.

    Args:
        message: one line for people, without any key.
        code: how it failed.
        provider: the provider's name.
        upstream_status: the HTTP status it answered, if it answered.
        retryable: whether the same call may succeed later.
        retry_after: seconds the provider asked us to wait.
    """

    status = 502

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode,
        provider: str = "",
        upstream_status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.provider = provider
        self.upstream_status = upstream_status
        self.retryable = retryable
        self.retry_after = retry_after


class CircuitOpen(ProviderError):
    """The provider was not asked: it kept failing, and is left alone for ``retry_after`` seconds."""

    def __init__(self, message: str, *, provider: str, retry_after: float) -> None:
        super().__init__(
            message,
            code=ErrorCode.UPSTREAM_UNAVAILABLE,
            provider=provider,
            retryable=True,
            retry_after=retry_after,
        )


class StoreError(RagstreamError):
    """A store did not do what it was asked."""

    code = ErrorCode.STORE_UNAVAILABLE
    status = 503
    retryable = True


class StorageUnavailable(StoreError):
    """The database cannot be reached or is locked."""

    code = ErrorCode.STORAGE_UNAVAILABLE


class StorageFull(StoreError):
    """The disk is full."""

    code = ErrorCode.STORAGE_FULL
    status = 507


class RetrievalFailed(StoreError):
    """The knowledge base could not be searched."""

    code = ErrorCode.RETRIEVAL_FAILED


class LeaseLost(StoreError):
    """Another process owns this stream now; nothing more can be written by us."""

    retryable = False


class AnswerStopped(RagstreamError):
    """Somebody stopped the answer; ``by`` is a principal's name, "disconnect" or "shutdown"."""

    code = "cancelled"

    def __init__(self, by: str) -> None:
        super().__init__(f"The answer was stopped by {by}.")
        self.by = by


class ProducerDied(RagstreamError):
    """The process that wrote the answer is gone, or shuts down before the answer is whole."""

    code = "interrupted"


class LimitExceeded(RagstreamError):
    """A cap of ours ended the answer; the code says which."""

    def __init__(self, message: str, *, code: ErrorCode) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(RagstreamError):
    """The server takes no new work at the moment."""

    code = "unavailable"
    status = 503
    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0, code: str = "unavailable") -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class ConfigError(RagstreamError):
    """A setting is wrong; the message names it and says what to set."""

    code = "config"


class ProgrammingError(RagstreamError):
    """Code of ours, or code built on us, broke a contract."""


class BlueprintError(ProgrammingError):
    """The diagram is broken, or it and the functions disagree."""

    code = "blueprint"


class IllegalEvent(ProgrammingError):
    """The grammar does not allow this event here; nothing was changed by it."""

    code = "illegal_event"


class StreamConsumed(ProgrammingError):
    """A single-pass stream was iterated a second time."""

    code = "stream_consumed"


class StreamExists(ProgrammingError):
    """This stream id has been used; a stream id is never used twice."""

    code = "stream_exists"
