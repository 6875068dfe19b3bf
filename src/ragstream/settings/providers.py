"""The providers of ``RAGSTREAM_PROVIDERS``: whom to ask, with which key, at which price."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from ragstream.settings import parsing

__all__ = ["NamedProvider", "parse_providers"]


class NamedProvider(BaseModel):
    """One provider; prices are for a million tokens, in any one currency."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$")  # "": the host of its URL
    base_url: str
    model: str = Field(min_length=1)
    api_key: SecretStr | None = None
    api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")  # the variable that has it
    input_price: float | None = Field(None, ge=0)
    output_price: float | None = Field(None, ge=0)
    cached_price: float | None = Field(None, ge=0)  # of what the provider had cached; None: as the rest

    takes: tuple[Literal["images", "files", "tools"], ...] = ("images", "files", "tools")  # besides text

    @property
    def title(self) -> str:
        """What logs, metrics and errors call it."""
        return self.name or urlsplit(self.base_url).netloc

    @field_validator("base_url", mode="after")
    @classmethod
    def _is_a_url(cls, text: str) -> str:
        url = parsing.check_url(text)
        if url is None:
            raise ValueError("it is empty")
        return url

    @field_validator("api_key", mode="after")
    @classmethod
    def _may_be_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key and SecretStr(parsing.check_key(key.get_secret_value()))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_key and self.api_key_env:
            raise ValueError("it has both api_key and api_key_env")
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("of input_price and output_price, it has only one")
        if self.cached_price is not None and self.input_price is None:
            raise ValueError("it has a cached_price without an input_price")
        return self


def parse_providers(text: str) -> tuple[NamedProvider, ...]:
    """Return the providers of a JSON list of objects; no message repeats a key.

    Raises:
        ValueError: it is not such a list; the message names entry and field.
    """
    if not text.strip():
        return ()
    entries = parsing.parse_json(text)
    if not isinstance(entries, list):
        raise ValueError("the JSON is not a list")  # noqa: TRY004 - a setting is wrong, not the code
    providers = tuple(_provider(number, entry) for number, entry in enumerate(entries, 1))
    title, count = next(iter(Counter(one.title for one in providers).most_common(1)), ("", 0))
    if count > 1:
        raise ValueError(f"{count} of them are called {title}: give each a name")
    return providers


def _provider(number: int, entry: Any) -> NamedProvider:
    if not isinstance(entry, dict):
        raise ValueError(f"entry {number} is not an object")  # noqa: TRY004 - as above
    try:
        return NamedProvider(**entry)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        reason = fault["ctx"]["error"] if fault["type"] == "value_error" else fault["msg"]
        place = "".join(f", {part}" for part in fault["loc"][:1])
        raise ValueError(f"entry {number}{str(place)[:40]}: {reason}") from None
