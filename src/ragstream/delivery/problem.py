"""A fault as a response: problem details (RFC 9457), OpenAI's error object, or plain words."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from ragstream.delivery.fault import Fault, fault_of_error
from ragstream.errors import RagstreamError

__all__ = ["TITLES", "openai_error", "openai_type", "plain_words", "problem", "problem_of_error"]

TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 421: "Misdirected Request",
    422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    507: "Insufficient Storage",
}  # fmt: skip
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def problem(fault: Fault, *, request_id: str) -> Response:
    """Return problem details."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(fault.status, "Error"),
        "status": fault.status,
        "detail": fault.detail,
        "code": fault.code,
        "request_id": request_id,
        **{name: value for name, value in fault.members.items() if value},
    }
    return Response(
        msgspec.json.encode(body), fault.status, headers=fault.headers, media_type="application/problem+json"
    )


def problem_of_error(error: RagstreamError, *, request_id: str) -> Response:
    """Return the problem that an error of ours is."""
    return problem(fault_of_error(error), request_id=request_id)


def openai_type(status: int) -> str:
    """Return what OpenAI's clients call a fault of this status."""
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def openai_error(fault: Fault, *, request_id: str) -> Response:
    """Return the error object that OpenAI's clients raise; ``param`` is the field that is wrong.

    Their clients ask again after 408, 409, 429 and 5xx. Where that cannot help they are told so.
    """
    more = {name: value for name, value in fault.members.items() if value}
    path = more.pop("path", None)
    error = {
        "message": fault.detail,
        "type": openai_type(fault.status),
        "code": fault.code,
        "param": path.removeprefix("options.") if path else None,
        "request_id": request_id,
        **more,
    }
    headers = fault.headers
    if not (fault.retryable or fault.retry_after):
        headers["x-should-retry"] = "false"
    return Response(
        msgspec.json.encode({"error": error}), fault.status, headers=headers, media_type="application/json"
    )


def plain_words(fault: Fault, *, request_id: str) -> Response:
    """Return the fault as text, for clients that show the body to people."""
    words = fault.detail if fault.status < 500 else f"{fault.detail} ({fault.code}, request {request_id})"
    return Response(words.encode(), fault.status, headers=fault.headers, media_type="text/plain")
