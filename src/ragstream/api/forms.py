"""In which form an error is told: by the address, since each protocol's clients know only their own."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Scope

from ragstream.delivery.fault import Fault, fault_of_error
from ragstream.delivery.problem import openai_error, plain_words, problem
from ragstream.errors import RagstreamError, ReaderError
from ragstream.telemetry import get_logger

__all__ = ["failed", "told", "told_error"]

_log = get_logger(__name__)


def told(scope: Scope, fault: Fault) -> Response:
    """Return the response that says the fault."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))  # ours may be mounted
    request_id = str(scope["state"]["request_id"])
    if path.startswith("/v1/"):
        return openai_error(fault, request_id=request_id)
    if path.startswith("/api/v1/ui/chat"):
        return plain_words(fault, request_id=request_id)
    return problem(fault, request_id=request_id)


def told_error(scope: Scope, error: RagstreamError) -> Response:
    """Return the response that says an error of ours."""
    return told(scope, fault_of_error(error))


def failed(scope: Scope, error: RagstreamError) -> Response:
    """Return the response to a request that failed by this error, and log what is nobody's but ours."""
    if error.status == 500 and not isinstance(error, ReaderError):  # who left needs no answer
        _log.error("request failed", exc_info=error)
    return told_error(scope, error)
