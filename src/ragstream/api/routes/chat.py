"""Questions: asked here, answered as a stream or whole."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Parts
from ragstream.api.described import EVENTS, IDEMPOTENCY, answers, body, content, problems
from ragstream.api.intake import ChatIntake
from ragstream.api.middleware import request_id
from ragstream.delivery.lane import LaneResponse
from ragstream.delivery.protocols.native import ChatResponse

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/chatbot", tags=["chat"], default_response_class=Response)

_ASKED = body("ChatRequest") | IDEMPOTENCY
_REFUSALS = problems(404, 408, 413, 415, 422, 429)
_FAILURES = problems(502, 504, 507)
_STREAM = answers("The events of the answer", EVENTS)
_WHOLE = answers("The whole answer", content(ChatResponse))


@router.post(
    "/chat/stream",
    summary="Ask, and read the answer as it is written",
    openapi_extra=_ASKED,
    responses=_STREAM | _REFUSALS | _FAILURES | problems(406),
)
async def chat_stream(request: Request, parts: Parts) -> Response:
    """Answer as Server-Sent Events. The answer goes on if the reader leaves; ``X-Stream-Id`` names it."""
    intake = ChatIntake(streaming=True)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post(
    "/chat",
    summary="Ask, and get the answer whole",
    openapi_extra=_ASKED,
    responses=_WHOLE | _REFUSALS | _FAILURES | problems(409),
)
async def chat(request: Request, parts: Parts) -> Response:
    """Answer as one JSON document: the same answer, collected."""
    intake = ChatIntake(streaming=False)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))
