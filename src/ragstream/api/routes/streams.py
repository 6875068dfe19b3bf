"""Answers that have begun: read again, or stopped."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts
from ragstream.api.intake import FollowIntake
from ragstream.api.middleware import request_id
from ragstream.api.replies import reply
from ragstream.delivery.lane import LaneResponse
from ragstream.errors import NotFound

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/streams", tags=["streams"])

_FOLLOW: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events beyond the cursor, live or ended",
        "content": {"text/event-stream": {"itemSchema": {"$ref": "#/components/schemas/StreamEvent"}}},
    },
    204: {"description": "The answer has ended and the reader has all of it"},
}
_CURSOR: dict[str, Any] = {
    "parameters": [
        {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ]
}


@router.get("/{stream_id}", summary="Read an answer that has begun", responses=_FOLLOW, openapi_extra=_CURSOR)
async def follow_stream(request: Request, parts: Parts, stream_id: str) -> Response:
    """Go on after ``Last-Event-ID`` (or ``?after=``), or from the start: the same events, byte for byte."""
    intake = FollowIntake(stream_id)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post("/{stream_id}/cancel", summary="Stop an answer")
async def cancel_stream(parts: Parts, caller: Caller, stream_id: str) -> Response:
    """Stop the answer, keeping what was said; stopping twice, or after the end, changes nothing."""
    status = await parts.kit.log.status(stream_id)
    if status is not None:
        if status.owner != caller.name:
            raise NotFound("There is no such stream.")
        await parts.kit.log.cancel(stream_id, caller.name)
        state = "cancelling" if status.state == "live" else "ended"
        return reply({"stream_id": stream_id, "state": state})
    turn = await parts.kit.turns.get(stream_id)
    if turn is None or turn.owner != caller.name:
        raise NotFound("There is no such stream.")
    return reply({"stream_id": stream_id, "state": "ended"})
