"""The service itself: is it alive, is it ready, what is it, what does it measure."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Parts
from ragstream.api.middleware import request_id
from ragstream.api.replies import reply
from ragstream.delivery.problem import problem_of_error
from ragstream.errors import Unavailable

__all__ = ["router"]

router = APIRouter(tags=["service"])


@router.get("/healthz")
async def healthz() -> Response:
    """Answer 200 while the process serves at all."""
    return reply({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request, parts: Parts) -> Response:
    """Answer 200 once a question can be taken, else 503 and what is missing."""
    missing = await parts.ready()
    if missing is not None:
        return problem_of_error(Unavailable(missing, code="not_ready"), request_id=request_id(request.scope))
    return reply({"status": "ready"})


@router.get("/metrics")
async def metrics(parts: Parts) -> Response:
    """Expose the metrics for Prometheus."""
    body, media_type = parts.metrics()
    return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})


@router.get("/api/v1/about")
async def about(parts: Parts) -> Response:
    """Tell the page what it needs before anything is asked."""
    return reply(parts.about)
