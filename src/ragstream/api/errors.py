"""Errors at the edge: every one becomes a response that says what to do."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from ragstream.api.forms import failed, told, told_error
from ragstream.api.middleware import request_id
from ragstream.delivery.fault import Fault
from ragstream.errors import InvalidField, RagstreamError
from ragstream.telemetry import get_logger

__all__ = ["install"]

_log = get_logger(__name__)
_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Answer every error, in the form of the protocol."""
    app.exception_handler(RagstreamError)(_ours)
    app.exception_handler(HTTPException)(_framework)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_unforeseen)


async def _ours(request: Request, error: RagstreamError) -> Response:
    return failed(request.scope, error)


async def _framework(request: Request, error: HTTPException) -> Response:
    code, detail = _CODES.get(error.status_code, "bad_request"), str(error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["allow"] = allowed = ", ".join(_allowed(request))
        detail = f"{request.method} is not possible here; possible: {allowed}."
    reply = told(request.scope, Fault(status=error.status_code, code=code, detail=detail))
    reply.headers.update(headers)
    return reply


def _allowed(request: Request) -> list[str]:
    """Return every method of the resource: the framework names those of the first route alone."""
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    return told_error(request.scope, InvalidField(f"{path}: {first['msg']}", path=path))


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("request failed", exc_info=error)
    reply = told_error(request.scope, RagstreamError())
    reply.headers["x-request-id"] = request_id(
        request.scope
    )  # the framework answers this one outside of all middleware
    return reply
