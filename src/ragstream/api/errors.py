"""Errors at the edge: every one becomes a problem response."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ragstream.api.middleware import request_id
from ragstream.delivery.problem import problem, problem_of_error
from ragstream.errors import InvalidField, RagstreamError
from ragstream.telemetry import get_logger

__all__ = ["install"]

_log = get_logger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Answer every error with problem details."""
    app.exception_handler(RagstreamError)(_ours)
    app.exception_handler(HTTPException)(_framework)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_unforeseen)


async def _ours(request: Request, error: RagstreamError) -> Response:
    if error.status == 500:
        _log.error("request failed", exc_info=error)
    return problem_of_error(error, request_id=request_id(request.scope))


async def _framework(request: Request, error: HTTPException) -> Response:
    code = _CODES.get(error.status_code, "bad_request")
    reply = problem(error.status_code, code, str(error.detail), request_id=request_id(request.scope))
    for name, value in (error.headers or {}).items():
        reply.headers[name] = value
    return reply


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    return problem_of_error(
        InvalidField(f"{path}: {first['msg']}", path=path), request_id=request_id(request.scope)
    )


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("request failed", exc_info=error)
    return problem_of_error(RagstreamError(), request_id=request_id(request.scope))
