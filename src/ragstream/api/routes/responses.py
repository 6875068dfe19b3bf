"""OpenAI's Responses: asked, read again from any event, stopped."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts
from ragstream.api.described import IDEMPOTENCY, answers, block_events, body, openai_problems
from ragstream.api.intake import ResponseIntake, RetrieveIntake
from ragstream.api.middleware import request_id
from ragstream.api.routes.streams import stop
from ragstream.api.schemas.responses import stream_of
from ragstream.delivery.lane import LaneResponse

__all__ = ["router"]

router = APIRouter(prefix="/v1/responses", tags=["openai"], default_response_class=Response)

_RESPONSE: dict[str, Any] = {
    "application/json": {"schema": {"type": "object", "required": ["id", "object", "status", "output"]}}
}
_EVENTS = {"text/event-stream": block_events()}
_STREAM: dict[str, Any] = {
    "parameters": [
        {"name": "stream", "in": "query", "schema": {"enum": ["true", "false"]}},
        {"name": "starting_after", "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"}},
    ]
}


@router.post(
    "",
    summary="Ask, as OpenAI's Responses",
    openapi_extra=body("ResponseRequest") | IDEMPOTENCY,
    responses=answers("The response, as a stream, whole or just begun", _EVENTS | _RESPONSE)
    | openai_problems(404, 408, 409, 413, 415, 422, 429, 502, 504, 507),
)
async def create_response(request: Request, parts: Parts) -> Response:
    """Answer from the documents; with ``background`` at once, to be read later."""
    return LaneResponse(parts.lane, parts.kit, ResponseIntake(), request_id=request_id(request.scope))


@router.get(
    "/{response_id}",
    summary="Read a response, as it stands or as a stream",
    openapi_extra=_STREAM,
    responses=answers("The response as it stands, or its events beyond the cursor", _EVENTS | _RESPONSE)
    | {204: {"description": "It has ended, and the reader has all of it"}}
    | openai_problems(404, 409, 410, 422, 429, 507),
)
async def read_response(request: Request, parts: Parts, response_id: str) -> Response:
    """Return the response; with ``stream=true`` its events after ``starting_after``."""
    intake = RetrieveIntake(stream_of(response_id))
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post(
    "/{response_id}/cancel",
    summary="Stop a response",
    responses=answers("The response as it ended", _RESPONSE) | openai_problems(404, 410, 429, 507),
)
async def cancel_response(request: Request, parts: Parts, caller: Caller, response_id: str) -> Response:
    """Stop the answer, keeping what was said; stopping twice, or after the end, changes nothing."""
    stream_id = stream_of(response_id)
    await stop(parts, stream_id, caller.name)
    intake = RetrieveIntake(stream_id, ended=True)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))
