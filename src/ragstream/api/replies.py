"""What leaves: msgspec structs as JSON, never cached."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

__all__ = ["reply"]


def reply(value: Any, status: int = 200) -> Response:
    """Return ``value`` as a JSON response."""
    return Response(
        msgspec.json.encode(value),
        status,
        headers={"cache-control": "no-store"},
        media_type="application/json",
    )
