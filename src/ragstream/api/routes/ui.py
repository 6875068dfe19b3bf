"""What user interfaces speak: the AI SDK's chat transport, and AG-UI."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts
from ragstream.api.described import (
    IDEMPOTENCY,
    Responses,
    answers,
    block_events,
    body,
    problems,
    returns,
    words,
)
from ragstream.api.intake import AgentIntake, ResumeIntake, UIChatIntake
from ragstream.api.middleware import request_id
from ragstream.api.replies import StreamState, reply
from ragstream.api.routes.streams import stop
from ragstream.delivery.lane import LaneResponse

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/ui", tags=["ui"], default_response_class=Response)

_EVENTS: dict[str, Any] = {"text/event-stream": block_events()}
_NOTHING: Responses = {204: {"description": "Nothing is under way"}}


@router.post(
    "/chat",
    summary="Ask, as the AI SDK does",
    openapi_extra=body("UIChatRequest") | IDEMPOTENCY,
    responses=answers("The chunks of the answer", _EVENTS)
    | words(404, 408, 413, 415, 422, 429, 502, 504, 507),
)
async def ui_chat(request: Request, parts: Parts) -> Response:
    """Answer ``useChat``: its ``id`` is the session, whose last message is the question."""
    return LaneResponse(parts.lane, parts.kit, UIChatIntake(), request_id=request_id(request.scope))


@router.get(
    "/chat/{session_id}/stream",
    summary="Go on with the answer that is under way",
    responses=answers("Its chunks, from the first one", _EVENTS) | _NOTHING | words(404, 410, 429, 507),
)
async def ui_resume(request: Request, parts: Parts, session_id: str) -> Response:
    """Replay the message that is under way, and go on with it."""
    intake = ResumeIntake(session_id)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post(
    "/chat/{session_id}/stop",
    summary="Stop the answer that is under way",
    responses=returns(StreamState, "It is being stopped, or has ended") | _NOTHING | words(),
)
async def ui_stop(parts: Parts, caller: Caller, session_id: str) -> Response:
    """Stop the session's newest answer, keeping what was said."""
    writing = parts.kit.supervisor.newest_of(session_id)
    if writing is not None and writing.owner == caller.name:
        parts.kit.supervisor.stop(writing.stream_id, caller.name)
        return reply(StreamState(writing.stream_id, "cancelling"))
    newest = next(iter(await parts.kit.turns.history(session_id, limit=1)), None)
    if newest is None or newest.owner != caller.name:
        return Response(status_code=204)
    return reply(await stop(parts, newest.stream_id, caller.name))


@router.post(
    "/agent",
    summary="Run, as AG-UI's clients do",
    openapi_extra=body("AgentRequest") | IDEMPOTENCY,
    responses=answers("The events of the run", _EVENTS)
    | problems(404, 406, 408, 413, 415, 422, 429, 502, 504, 507),
)
async def ui_agent(request: Request, parts: Parts) -> Response:
    """Answer AG-UI's ``RunAgentInput``: its thread is the session, whose last message is the question."""
    return LaneResponse(parts.lane, parts.kit, AgentIntake(), request_id=request_id(request.scope))
