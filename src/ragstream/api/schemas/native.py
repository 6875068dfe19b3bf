"""The bodies of the native API; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from ragstream.api.schemas.base import MAX_CHARACTERS, MAX_MESSAGES, Metadata
from ragstream.events import Message, Options

__all__ = ["ChatRequest", "MessageIn", "OptionsIn", "RenameRequest", "SessionRequest"]

_WITHOUT_NUL: dict[str, JsonValue] = {"pattern": "^[^\\u0000]*$"}  # which no JSON body of ours may hold


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPartIn(_Strict):
    """A piece of text."""

    type: Literal["text"]
    text: str = Field(max_length=MAX_CHARACTERS)


class ImageURLIn(_Strict):
    """Where an image is: an https or a data URL."""

    url: str = Field(pattern=r"^(https://|data:image/)")
    detail: Literal["auto", "low", "high"] | None = None


class ImagePartIn(_Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURLIn


class FileRefIn(_Strict):
    """A file, by the provider's id or as a data URL."""

    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None


class FilePartIn(_Strict):
    """A file for the model to read."""

    type: Literal["file"]
    file: FileRefIn


PartIn = Annotated[TextPartIn | ImagePartIn | FilePartIn, Field(discriminator="type")]


class MessageIn(_Strict):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: (
        Annotated[str, Field(max_length=MAX_CHARACTERS, json_schema_extra={"minLength": 1, "pattern": r"\S"})]
        | Annotated[list[PartIn], Field(min_length=1)]
    )

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str | list[PartIn]) -> str | list[PartIn]:
        if isinstance(content, str) and not content.strip():
            raise ValueError(f"a message has 1 to {MAX_CHARACTERS} characters, not only spaces")
        return content


class OptionsIn(BaseModel):
    """How the model shall write; further options are those the configured provider takes, by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None

    def options(self) -> Options:
        """Return them as the lane knows them."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Options(
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
            stop=tuple(stop),
            extras=dict(self.__pydantic_extra__ or {}),
        )


class ChatRequest(_Strict):
    """A question.

    With ``session_id`` only the last message is new; without it the messages are the whole conversation.
    """

    messages: list[MessageIn] = Field(min_length=1, max_length=MAX_MESSAGES)
    session_id: str | None = Field(default=None, min_length=1, max_length=64)
    model: str | None = Field(default=None, min_length=1, max_length=200)
    options: OptionsIn = Field(default_factory=lambda: OptionsIn.model_validate({}))
    metadata: Metadata = {}
    include_steps: bool = False

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(cls, messages: list[MessageIn]) -> list[MessageIn]:
        if messages[-1].role != "user":
            raise ValueError("the last message must be the user's question")
        return messages

    def new_messages(self) -> tuple[Message, ...]:
        """Return the messages that this request brings."""
        messages = self.messages[-1:] if self.session_id else self.messages
        return msgspec.convert([m.model_dump(exclude_none=True) for m in messages], tuple[Message, ...])


class SessionRequest(_Strict):
    """A session to be made."""

    name: str = Field(default="", max_length=200, json_schema_extra=_WITHOUT_NUL)


class RenameRequest(_Strict):
    """A session's new name."""

    name: str = Field(min_length=1, max_length=200, json_schema_extra=_WITHOUT_NUL)
