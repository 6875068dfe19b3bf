"""The OpenAPI document: FastAPI's own, with the schemas of what the lanes read and say."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from ragstream.api.history import ChatHistory
from ragstream.api.parts import About
from ragstream.api.replies import (
    DocumentList,
    DocumentText,
    OpenAIError,
    Problem,
    SessionList,
    Status,
    StreamState,
)
from ragstream.api.routes.completions import ModelList
from ragstream.api.schemas import (
    AgentRequest,
    ChatRequest,
    CompletionRequest,
    RenameRequest,
    ResponseRequest,
    SessionRequest,
    UIChatRequest,
)
from ragstream.delivery.protocols.native import ChatResponse
from ragstream.events import StreamEvent

__all__ = ["install"]

_REF = "#/components/schemas/{}"
_OUTGOING = (
    StreamEvent,
    ChatResponse,
    ChatHistory,
    SessionList,
    StreamState,
    DocumentList,
    DocumentText,
    Status,
    About,
    Problem,
    OpenAIError,
    ModelList,
)
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Given back with the response, and in every line of the log; made where it is missing",
    "schema": {"type": "string"},
}


def install(app: FastAPI) -> None:
    """Let ``app.openapi()`` describe bodies and events, which the lanes parse and write themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_incoming() | _outgoing())
    for foreign in ("HTTPValidationError", "ValidationError"):  # ours are problems
        schemas.pop(foreign, None)
    for operation in _operations(document):
        replies = operation["responses"]
        if "HTTPValidationError" in str(replies.get("422")):
            del replies["422"]
        operation.setdefault("parameters", []).append(_REQUEST_ID)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]  # without keys, whoever reaches the server may ask
    return document


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _incoming() -> dict[str, Any]:
    models = (
        AgentRequest,
        UIChatRequest,
        ChatRequest,
        CompletionRequest,
        ResponseRequest,
        SessionRequest,
        RenameRequest,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF.format("{model}")
    )
    return dict(definitions["$defs"])


def _outgoing() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_OUTGOING, ref_template=_REF.format("{name}"))
    return dict(components)
