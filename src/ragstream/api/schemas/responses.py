"""The body of OpenAI's Responses: what we know of it is mapped, what we cannot do is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from ragstream.api.schemas.base import MAX_CHARACTERS, MAX_MESSAGES, Lenient, Metadata
from ragstream.api.schemas.chat import Tuning, model_named
from ragstream.delivery.base import HOUSE_MODEL, Inquiry
from ragstream.delivery.protocols.responses import ECHO, ResponsesDialect
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

__all__ = ["ResponseRequest", "stream_of"]

_PREFIX = "resp_"
_Tools = list[dict[str, JsonValue]] | None
_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class TextIn(Lenient):
    """A piece of text, asked or answered."""

    type: Literal["input_text", "output_text", "text"]
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


class ImageIn(Lenient):
    """An image, by its URL."""

    type: Literal["input_image"]
    image_url: str = Field(pattern=r"^(https?://|data:image/)")
    detail: Literal["auto", "low", "high"] | None = None

    def part(self) -> ContentPart:
        """Return it as the lane knows it."""
        return ImagePart(ImageURL(self.image_url, self.detail))


class FileIn(Lenient):
    """A file for the model to read, by the provider's id or as a data URL."""

    type: Literal["input_file"]
    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None

    def part(self) -> ContentPart:
        """Return it as the lane knows it."""
        return FilePart(FileRef(self.file_id, self.filename, self.file_data))


PartIn = Annotated[TextIn | RefusalIn | ImageIn | FileIn, Field(discriminator="type")]


class MessageItem(Lenient):
    """A message; it may leave its type out."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: _Text | list[PartIn]

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str | list[PartIn]) -> str | list[PartIn]:
        if not content or (isinstance(content, str) and not content.strip()):
            raise ValueError(f"a message has 1 to {MAX_CHARACTERS} characters, not only spaces")
        return content

    def messages(self) -> list[Message]:
        """Return it as the lane knows it."""
        content = self.content
        parts = content if isinstance(content, str) else tuple(part.part() for part in content)
        return [Message(role=self.role, content=parts)]


class CallItem(Lenient):
    """A function that an earlier answer called."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str

    def messages(self) -> list[Message]:
        """Return it as the lane knows it."""
        call = ToolCall(id=self.call_id, name=self.name, arguments=self.arguments)
        return [Message(role="assistant", tool_calls=(call,))]


class OutputItem(Lenient):
    """What the function gave back."""

    type: Literal["function_call_output"]
    call_id: str
    output: _Text

    def messages(self) -> list[Message]:
        """Return it as the lane knows it."""
        return [Message(role="tool", tool_call_id=self.call_id, content=self.output)]


class SilentItem(Lenient):
    """An item of an earlier answer that says the model nothing."""

    type: Literal["reasoning", "file_search_call", "mcp_call"]

    def messages(self) -> list[Message]:
        """Return nothing."""
        return []


def _kind(item: Any) -> str:
    kind = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", "")
    return "silent" if kind in ("reasoning", "file_search_call", "mcp_call") else str(kind)


ItemIn = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[OutputItem, Tag("function_call_output")]
    | Annotated[SilentItem, Tag("silent")],
    Discriminator(_kind),
]


class ConversationIn(Lenient):
    """A conversation, by its id: our session."""

    id: str = Field(min_length=1, max_length=64)


class ReasoningIn(Lenient):
    """How much the model shall think."""

    effort: str | None = None


class FormatIn(Lenient):
    """What form the text shall have."""

    format: dict[str, JsonValue] | None = None


class ResponseRequest(Tuning):
    """A question in the form of Responses; unknown fields are ignored."""

    input: (
        Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
        | Annotated[list[ItemIn], Field(min_length=1, max_length=MAX_MESSAGES)]
    )
    model: str = Field(default=HOUSE_MODEL, min_length=1, max_length=200)
    instructions: _Text | None = None
    stream: bool | None = False
    background: bool | None = False
    previous_response_id: str | None = Field(default=None, max_length=64)
    conversation: Annotated[str, Field(min_length=1, max_length=64)] | ConversationIn | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    metadata: Metadata | None = None
    reasoning: ReasoningIn | None = None
    text: FormatIn | None = None
    prompt: JsonValue = None
    tool_choice: JsonValue = None
    tools: _Tools = None

    @field_validator("input")
    @classmethod
    def _asks(cls, asked: str | list[ItemIn]) -> str | list[ItemIn]:
        if isinstance(asked, str):
            if not asked.strip():
                raise ValueError("the question is empty")
            return asked
        last = asked[-1]
        if not (isinstance(last, OutputItem) or (isinstance(last, MessageItem) and last.role == "user")):
            raise ValueError("the last item must be the user's question")
        return asked

    @field_validator("text")
    @classmethod
    def _plain(cls, text: FormatIn | None) -> FormatIn | None:
        if text and text.format and text.format.get("type") != "text":
            raise ValueError("answers are plain text; leave text.format out")
        return text

    @field_validator("prompt")
    @classmethod
    def _no_prompt(cls, prompt: JsonValue) -> JsonValue:
        if prompt is not None:
            raise ValueError("there are no stored prompts here; send instructions")
        return prompt

    @field_validator("tools")
    @classmethod
    def _no_tools(
        cls, tools: list[dict[str, JsonValue]] | None, info: Any
    ) -> list[dict[str, JsonValue]] | None:
        """Take ``file_search``, which is what happens anyway."""
        others = [tool for tool in tools or [] if tool.get("type") != "file_search"]
        if others and info.data.get("tool_choice") != "none":
            raise ValueError(
                "the answer is written from the documents, and a client's own tools are not handed to the "
                "model; leave out all but file_search"
            )
        return tools

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.conversation and self.previous_response_id:
            raise ValueError("give conversation or previous_response_id, not both")
        return self

    def inquiry(self) -> Inquiry:
        """Return the question as the lane knows it."""
        messages = self._messages()
        previous = stream_of(self.previous_response_id) if self.previous_response_id else None
        echo = {"background": bool(self.background)}
        more = {"previous_response_id": self.previous_response_id} if self.previous_response_id else {}
        effort = self.reasoning.effort if self.reasoning else None
        conversation = self.conversation
        return Inquiry(
            messages=messages,
            newest=len(messages),
            session_id=conversation.id if isinstance(conversation, ConversationIn) else conversation,
            previous=previous,
            model=model_named(self.model),
            any_model=False,
            options=Options(temperature=self.temperature, max_tokens=self.max_output_tokens),
            wishes=self.wishes() | ({"reasoning_effort": effort} if effort else {}),
            metadata=dict(self.metadata or {}) | {ECHO: echo | more},
            streaming=bool(self.stream),
            wait=not self.background,
            dialect=ResponsesDialect(tells_endings=bool(self.background)),
        )

    def _messages(self) -> tuple[Message, ...]:
        told = [Message(role="system", content=self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return (*told, Message(role="user", content=self.input))
        return (*told, *(message for item in self.input for message in item.messages()))


def stream_of(response_id: str) -> str:
    """Return the stream of a response, by its id; one that is not ours has none."""
    return response_id.removeprefix(_PREFIX) if response_id.startswith(_PREFIX) else f"no {response_id}"
