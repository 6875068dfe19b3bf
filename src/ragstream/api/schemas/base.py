"""What the bodies of all protocols have in common: their limits, and how they are checked."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, ValidationError

from ragstream.errors import InvalidField

__all__ = ["MAX_CHARACTERS", "MAX_MESSAGES", "Lenient", "Metadata", "parse"]

MAX_MESSAGES = 500
MAX_CHARACTERS = 100_000
_MAX_METADATA = 16 * 1024

Body = TypeVar("Body", bound=BaseModel)


def _short(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(msgspec.json.encode(metadata)) > _MAX_METADATA:
        raise ValueError(f"metadata has at most {_MAX_METADATA} bytes of JSON")
    return metadata


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_short)]


class Lenient(BaseModel):
    """A body of somebody else's protocol: its clients send more fields than we know."""

    model_config = ConfigDict(extra="ignore", strict=True)


def parse(model: type[Body], value: Any) -> Body:
    """Return ``value`` as the model.

    Raises:
        InvalidField: the first field that is wrong, with its path.
    """
    try:
        return model.model_validate(value)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidField(f"{path or 'body'}: {message}", path=path) from None
