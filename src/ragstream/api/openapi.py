"""The OpenAPI document: FastAPI's own, with the schemas of what the lanes read and say."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from ragstream.api.history import ChatHistory
from ragstream.api.schemas import ChatRequest, RenameRequest, SessionRequest
from ragstream.delivery.steps.collecting import ChatResponse
from ragstream.events import StreamEvent

__all__ = ["install"]

_REF = "#/components/schemas/{}"


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
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_incoming() | _outgoing())
    return document


def _incoming() -> dict[str, Any]:
    models = (ChatRequest, SessionRequest, RenameRequest)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF.format("{model}")
    )
    return dict(definitions["$defs"])


def _outgoing() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(
        (StreamEvent, ChatResponse, ChatHistory), ref_template=_REF.format("{name}")
    )
    return dict(components)
