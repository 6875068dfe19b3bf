"""Questions: asked here, answered as a stream or whole."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Parts
from ragstream.api.intake import ChatIntake
from ragstream.api.middleware import request_id
from ragstream.delivery.lane import LaneResponse

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/chatbot", tags=["chat"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}},
    }
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events of the answer",
        "content": {"text/event-stream": {"itemSchema": {"$ref": "#/components/schemas/StreamEvent"}}},
    }
}
_WHOLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole answer",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatResponse"}}},
    }
}


@router.post(
    "/chat/stream",
    summary="Ask, and read the answer as it is written",
    openapi_extra=_BODY,
    responses=_STREAM,
)
async def chat_stream(request: Request, parts: Parts) -> Response:
    """Answer as Server-Sent Events. The answer goes on if the reader leaves; ``X-Stream-Id`` names it."""
    intake = ChatIntake(streaming=True)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))


@router.post("/chat", summary="Ask, and get the answer whole", openapi_extra=_BODY, responses=_WHOLE)
async def chat(request: Request, parts: Parts) -> Response:
    """Answer as one JSON document: the same answer, collected."""
    intake = ChatIntake(streaming=False)
    return LaneResponse(parts.lane, parts.kit, intake, request_id=request_id(request.scope))
