"""Answers that have begun: read again, or stopped."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts
from ragstream.api.described import EVENTS, Responses, answers, content, problems, returns
from ragstream.api.intake import FollowIntake
from ragstream.api.middleware import request_id
from ragstream.api.parts import ApiParts
from ragstream.api.replies import StreamState, reply
from ragstream.delivery.lane import LaneResponse
from ragstream.delivery.protocols import DIALECTS
from ragstream.delivery.protocols.native import ChatResponse
from ragstream.errors import NotFound

__all__ = ["router", "stop"]

router = APIRouter(prefix="/api/v1/streams", tags=["streams"], default_response_class=Response)

# Asked as ?protocol=, the whole is an object of that protocol's.
_WHOLE = {
    "application/json": {"schema": {"anyOf": [content(ChatResponse)["application/json"]["schema"], {}]}}
}
_FOLLOW: Responses = {
    **answers(
        "The events beyond the cursor, live or ended; whole, for who accepts only JSON",
        EVENTS | _WHOLE,
    ),
    204: {"description": "The answer has ended and the reader has all of it"},
    **problems(404, 406, 409, 410, 422, 429, 502, 504, 507),
}
_CURSOR: dict[str, Any] = {
    "parameters": [
        {"name": "protocol", "in": "query", "schema": {"enum": list(DIALECTS)}},
        {"name": "after", "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"}},
    ]
}


@router.get("/{stream_id}", summary="Read an answer that has begun", responses=_FOLLOW, openapi_extra=_CURSOR)
async def follow_stream(request: Request, parts: Parts, stream_id: str) -> Response:
    """Go on after ``Last-Event-ID`` (or ``?after=``), or from the start: the same events, byte for byte.

    With ``?protocol=`` they are that protocol's, and so is what the cursor counts.
    """
    intake = FollowIntake(stream_id)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post(
    "/{stream_id}/cancel",
    summary="Stop an answer",
    responses=returns(StreamState, "It is being stopped, or has ended") | problems(404),
)
async def cancel_stream(parts: Parts, caller: Caller, stream_id: str) -> Response:
    """Stop the answer, keeping what was said; stopping twice, or after the end, changes nothing."""
    return reply(await stop(parts, stream_id, caller.name))


async def stop(parts: ApiParts, stream_id: str, by: str) -> StreamState:
    """Stop an answer of ``by``.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    status = await parts.kit.log.status(stream_id)
    if status is not None:
        if status.owner != by:
            raise NotFound("There is no such stream.")
        await parts.kit.log.cancel(stream_id, by)
        return StreamState(stream_id, "cancelling" if status.state == "live" else "ended")
    turn = await parts.kit.turns.get(stream_id)
    if turn is None or turn.owner != by:
        raise NotFound("There is no such stream.")
    return StreamState(stream_id, "ended")
