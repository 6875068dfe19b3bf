"""The service itself: is it alive, is it ready, what is it, what does it measure."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Parts
from ragstream.api.described import Responses, guarded, returns
from ragstream.api.middleware import request_id
from ragstream.api.parts import About
from ragstream.api.replies import Status, reply
from ragstream.delivery.problem import problem_of_error
from ragstream.errors import Unavailable

__all__ = ["router"]

router = APIRouter(tags=["service"], default_response_class=Response)


_METRICS: Responses = {
    200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses=returns(Status, "It serves") | guarded())
async def healthz() -> Response:
    """Answer 200 while the process serves at all."""
    return reply(Status("ok"))


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=returns(Status, "Questions can be taken") | guarded(503))
async def readyz(request: Request, parts: Parts) -> Response:
    """Answer 200 once a question can be taken, else 503 and what is missing."""
    missing = await parts.ready()
    if missing is not None:
        return problem_of_error(Unavailable(missing, code="not_ready"), request_id=request_id(request.scope))
    return reply(Status("ready"))


@router.get("/metrics", responses=_METRICS | guarded())
async def metrics(parts: Parts) -> Response:
    """Expose the metrics for Prometheus."""
    body, media_type = parts.metrics()
    return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})


@router.get("/api/v1/about", responses=returns(About, "What this server is") | guarded())
async def about(parts: Parts) -> Response:
    """Tell the page what it needs before anything is asked."""
    return reply(parts.about)
