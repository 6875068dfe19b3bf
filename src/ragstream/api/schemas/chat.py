"""The body of OpenAI's Chat Completions: what we know of it is mapped, what we cannot do is refused by name.

Fields that only tune the model are wishes: they are granted where ``RAGSTREAM_PROVIDER_OPTIONS`` names them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, JsonValue, ValidationInfo, field_validator, model_validator

from ragstream.api.schemas.base import MAX_CHARACTERS, MAX_MESSAGES, Lenient, Metadata
from ragstream.delivery.base import HOUSE_MODEL, Inquiry
from ragstream.delivery.protocols.chat import ChatDialect
from ragstream.events import (
    ContentPart,
    FilePart,
    FileRef,
    ImagePart,
    ImageURL,
    Message,
    Options,
    TextPart,
    ToolCall,
)

__all__ = ["CallIn", "CompletionRequest", "Tuning", "model_named", "refuse_tools"]

_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class TextIn(Lenient):
    """A piece of text."""

    type: Literal["text"]
    text: _Text

    def part(self) -> ContentPart:
        """Return it as the lane knows it."""
        return TextPart(self.text)


class RefusalIn(Lenient):
    """What a model declined with, in an earlier answer."""

    type: Literal["refusal"]
    refusal: _Text

    def part(self) -> ContentPart:
        """Return it as text."""
        return TextPart(self.refusal)


class ImageURLIn(Lenient):
    """Where an image is."""

    url: str = Field(pattern=r"^(https?://|data:image/)")
    detail: Literal["auto", "low", "high"] | None = None


class ImageIn(Lenient):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURLIn

    def part(self) -> ContentPart:
        """Return it as the lane knows it."""
        return ImagePart(ImageURL(self.image_url.url, self.image_url.detail))


class FileRefIn(Lenient):
    """A file, by the provider's id or as a data URL."""

    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None


class FileIn(Lenient):
    """A file for the model to read."""

    type: Literal["file"]
    file: FileRefIn

    def part(self) -> ContentPart:
        """Return it as the lane knows it."""
        return FilePart(FileRef(self.file.file_id, self.file.filename, self.file.file_data))


PartIn = Annotated[TextIn | RefusalIn | ImageIn | FileIn, Field(discriminator="type")]


class FunctionIn(Lenient):
    """A function that was called."""

    name: str
    arguments: str


class CallIn(Lenient):
    """A tool call of an earlier answer."""

    id: str
    function: FunctionIn


class CompletionMessage(Lenient):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: _Text | list[PartIn] | None = None
    name: str | None = None
    tool_calls: list[CallIn] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        blank = not self.content or (isinstance(self.content, str) and not self.content.strip())
        if blank and self.role == "user":
            raise ValueError(f"the user's message is empty: content has 1 to {MAX_CHARACTERS} characters")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool's message needs the tool_call_id that it answers")
        return self

    def message(self) -> Message:
        """Return it as the lane knows it."""
        content = self.content
        calls = (ToolCall(id=c.id, name=c.function.name, arguments=c.function.arguments) for c in self.calls)
        return Message(
            role=self.role,
            content=tuple(part.part() for part in content) if isinstance(content, list) else content,
            name=self.name,
            tool_calls=tuple(calls),
            tool_call_id=self.tool_call_id,
        )

    @property
    def calls(self) -> list[CallIn]:
        """The tool calls."""
        return self.tool_calls or []


class StreamOptions(Lenient):
    """How the answer streams."""

    include_usage: bool | None = False


class Tuning(Lenient):
    """How the model shall write, as both protocols of OpenAI name it."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    service_tier: str | None = None
    user: str | None = None

    def wishes(self, *more: str) -> dict[str, Any]:
        """Return the fields that are handed over where the provider takes them."""
        names = ("top_p", "service_tier", "user", *more)
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class CompletionRequest(Tuning):
    """A question in the form of Chat Completions; unknown fields are ignored."""

    messages: list[CompletionMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    model: str = Field(default=HOUSE_MODEL, min_length=1, max_length=200)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    session_id: str | None = Field(default=None, min_length=1, max_length=64)
    max_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, validation_alias=AliasChoices("max_completion_tokens", "max_tokens")
    )
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    metadata: Metadata | None = None
    n: int | None = 1
    logprobs: bool | None = False
    modalities: list[str] | None = None
    response_format: dict[str, JsonValue] | None = None
    tool_choice: JsonValue = None
    tools: list[JsonValue] | None = None
    functions: list[JsonValue] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None

    @field_validator("messages")
    @classmethod
    def _ask(cls, messages: list[CompletionMessage]) -> list[CompletionMessage]:
        if messages[-1].role not in ("user", "tool"):
            raise ValueError("the last message must be the user's question")
        if all(message.role != "user" for message in messages):
            raise ValueError("one of the messages must be the user's question")
        return messages

    @field_validator("n")
    @classmethod
    def _one(cls, n: int | None) -> int | None:
        if (n or 1) != 1:
            raise ValueError("one answer is written for a question; ask again for another one")
        return n

    @field_validator("logprobs")
    @classmethod
    def _no_logprobs(cls, logprobs: bool | None) -> bool | None:
        if logprobs:
            raise ValueError("they are not known here; leave logprobs out")
        return logprobs

    @field_validator("modalities")
    @classmethod
    def _text_alone(cls, modalities: list[str] | None) -> list[str] | None:
        if set(modalities or []) - {"text"}:
            raise ValueError("answers are text")
        return modalities

    @field_validator("tools", "functions")
    @classmethod
    def _no_tools(cls, tools: list[JsonValue] | None, info: ValidationInfo) -> list[JsonValue] | None:
        if info.data.get("tool_choice") != "none":
            refuse_tools(tools)
        return tools

    def inquiry(self) -> Inquiry:
        """Return the question as the lane knows it."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        format_ = self.response_format or {"type": "text"}
        wishes = ("presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort", "verbosity")
        usage = self.stream_options.include_usage if self.stream_options else False
        return Inquiry(
            messages=tuple(message.message() for message in self.messages),
            session_id=self.session_id,
            model=model_named(self.model),
            any_model=False,
            options=Options(
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                seed=self.seed,
                stop=tuple(stop),
                extras={} if format_.get("type") == "text" else {"response_format": format_},
            ),
            wishes=self.wishes(*wishes),
            metadata=dict(self.metadata or {}),
            streaming=bool(self.stream),
            dialect=ChatDialect(include_usage=bool(usage)),
        )


def model_named(model: str) -> str | None:
    """Return the model to ask; None: whatever is configured."""
    return None if model == HOUSE_MODEL else model


def refuse_tools(tools: list[JsonValue] | None) -> None:
    """Refuse tools of the client's.

    Raises:
        ValueError: there are some.
    """
    if tools:
        raise ValueError(
            "the answer is written from the documents, and a client's own tools are not handed to the model; "
            'leave them out, or send tool_choice "none"'
        )
