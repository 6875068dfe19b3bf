"""How the routes describe themselves in the OpenAPI document: what they return, and with which problems.

The routes write their replies themselves, from structs, so FastAPI cannot see what they return.
"""

from __future__ import annotations

from typing import Any

from ragstream.api.replies import Problem
from ragstream.delivery.problem import TITLES
from ragstream.events import StreamEvent

__all__ = [
    "EVENTS",
    "IDEMPOTENCY",
    "STREAM_HEADERS",
    "Responses",
    "answers",
    "block_events",
    "body",
    "content",
    "guarded",
    "openai_problems",
    "openai_returns",
    "problems",
    "returns",
    "words",
]

Responses = dict[int | str, dict[str, Any]]


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


STREAM_HEADERS = {
    "X-Stream-Id": _header("The stream, for reading on and for stopping"),
    "X-Session-Id": _header("The conversation"),
}


IDEMPOTENCY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A question that is sent again under its key reads the first one's answer",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }
    ]
}


def content(schema: type) -> dict[str, Any]:
    """Describe a JSON document of this schema."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}}


def _block(event: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    fields = {"id": {"type": "string"}, "retry": {"type": "integer"}, "event": event, "data": data}
    return {"type": "object", "required": ["event", "data"], "properties": fields}


# As OpenAPI 3.2 describes an event stream: ``itemSchema`` is that of one block, its fields parsed.
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "itemSchema": {
            "oneOf": [
                _block(
                    {"$ref": "#/components/schemas/EventType"},
                    {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": f"#/components/schemas/{StreamEvent.__name__}"},
                    },
                ),
                _block({"const": "done"}, {"const": "{}"}),
            ]
        }
    }
}


def returns(schema: type, words: str, *, status: int = 200) -> Responses:
    """Describe what a route returns."""
    return {status: {"description": words, "content": content(schema)}}


def answers(words: str, described: dict[str, Any]) -> Responses:
    """Describe an answer, which names its stream and its conversation."""
    return {200: {"description": words, "headers": STREAM_HEADERS, "content": described}}


def problems(*statuses: int) -> Responses:
    """Describe the problems of a route, with those of every route that has callers and uses a store."""
    return guarded(401, 500, 503, *statuses)


def guarded(*statuses: int) -> Responses:
    """Describe the problems of a route, with those of every route: a foreign page or a foreign host."""
    described = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {
            "description": TITLES[status],
            "content": {"application/problem+json": {"schema": described}},
        }
        for status in sorted({400, 403, 421, *statuses})
    }


def block_events() -> dict[str, Any]:
    """Describe a stream whose blocks are somebody else's, whose own documents describe them."""
    return {
        "itemSchema": {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
    }


def openai_problems(*statuses: int) -> Responses:
    """Describe the errors of a route of OpenAI's."""
    described = {"$ref": "#/components/schemas/OpenAIError"}
    return {
        status: {"description": TITLES[status], "content": {"application/json": {"schema": described}}}
        for status in sorted({400, 401, 403, 421, 500, 503, *statuses})
    }


def words(*statuses: int) -> Responses:
    """Describe the errors of a route whose clients show them to people."""
    return {
        status: {"description": TITLES[status], "content": {"text/plain": {"schema": {"type": "string"}}}}
        for status in sorted({400, 401, 403, 421, 500, 503, *statuses})
    }


def openai_returns(schema: type) -> Responses:
    """Describe what a route of OpenAI's returns."""
    return returns(schema, "The object")


def body(name: str, *, required: bool = True) -> dict[str, Any]:
    """Describe a JSON body that the route parses itself."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
