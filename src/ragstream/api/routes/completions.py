"""OpenAI's Chat Completions, and the models that can be asked."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts
from ragstream.api.described import IDEMPOTENCY, answers, block_events, body, openai_problems, openai_returns
from ragstream.api.intake import CompletionIntake
from ragstream.api.middleware import request_id
from ragstream.api.parts import ApiParts
from ragstream.api.replies import reply
from ragstream.delivery.base import HOUSE_MODEL
from ragstream.delivery.lane import LaneResponse
from ragstream.errors import ModelNotFound

__all__ = ["ModelList", "ModelOut", "router"]

router = APIRouter(prefix="/v1", tags=["openai"], default_response_class=Response)

_ANSWER: dict[str, Any] = {
    "text/event-stream": block_events(),
    "application/json": {"schema": {"type": "object", "required": ["id", "object", "choices"]}},
}


class ModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be asked."""

    id: str
    object: str = "model"
    created: int = 0  # not known
    owned_by: str = "ragstream"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """The models that can be asked."""

    object: str = "list"
    data: list[ModelOut]


@router.post(
    "/chat/completions",
    summary="Ask, as OpenAI's Chat Completions",
    openapi_extra=body("CompletionRequest") | IDEMPOTENCY,
    responses=answers("The answer, as a stream or whole", _ANSWER)
    | openai_problems(404, 408, 409, 413, 415, 422, 429, 502, 504, 507),
)
async def chat_completions(request: Request, parts: Parts) -> Response:
    """Answer from the documents, to any client of OpenAI's; ``stream`` says how."""
    return LaneResponse(parts.lane, parts.kit, CompletionIntake(), request_id=request_id(request.scope))


@router.get(
    "/models", summary="List what can be asked", responses=openai_returns(ModelList) | openai_problems()
)
async def list_models(parts: Parts, caller: Caller) -> Response:  # noqa: ARG001 - only who may ask
    """List ``ragstream``, which is whatever is configured, and the models of the configured providers."""
    return reply(ModelList(data=_models(parts)))


@router.get(
    "/models/{model:path}",
    summary="Read one of them",
    responses=openai_returns(ModelOut) | openai_problems(404),
)
async def get_model(parts: Parts, caller: Caller, model: str) -> Response:  # noqa: ARG001
    """Return the model, if it can be asked."""
    for known in _models(parts):
        if known.id == model:
            return reply(known)
    raise ModelNotFound(f"There is no model {model[:64]!r}; GET /v1/models lists those that are there.")


def _models(parts: ApiParts) -> list[ModelOut]:
    names = dict.fromkeys((HOUSE_MODEL, *parts.kit.answerer.models))
    return [ModelOut(id=name) for name in names]
