"""What the clients of user interfaces send: the AI SDK's messages, and AG-UI's run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from ragstream.api.schemas.base import MAX_CHARACTERS, MAX_MESSAGES, Lenient, Metadata
from ragstream.api.schemas.chat import CallIn, model_named
from ragstream.delivery.base import Inquiry
from ragstream.delivery.protocols.agui import RUN, AGUIDialect
from ragstream.delivery.protocols.ui import UIDialect
from ragstream.events import (
    ContentPart,
    FilePart,
    FileRef,
    ImagePart,
    ImageURL,
    Message,
    TextPart,
    ToolCall,
)

__all__ = ["AgentRequest", "UIChatRequest"]

_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
_Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
# The client puts it into the address of resume and stop as it is.
_ChatId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.~:@!$&'()*+,;=-]+$")]
_IMAGE = ("https://", "http://", "data:image/")


class UIPart(Lenient):
    """A part of a message; only text and files are for the model."""

    type: str
    text: _Text | None = None
    url: str | None = None
    mediaType: str | None = None  # noqa: N815 - the protocol's own name
    filename: str | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.type == "file" and self.part() is None:
            raise ValueError("a file is an image with an http(s) URL, or has a data URL")
        return self

    def part(self) -> ContentPart | None:
        """Return it as the lane knows it, or None where it says the model nothing."""
        if self.type == "text" and self.text:
            return TextPart(self.text)
        if self.type == "file" and self.url:
            return _file(self.url, self.mediaType or "", self.filename)
        return None


class UIMessage(Lenient):
    """One message of the AI SDK's."""

    id: str = ""
    role: Literal["system", "user", "assistant"]
    parts: list[UIPart] = Field(max_length=MAX_MESSAGES)

    def message(self) -> Message | None:
        """Return it as the lane knows it; None where it is empty, as an answer that failed at once is."""
        parts = tuple(part for one in self.parts if (part := one.part()) is not None)
        return Message(role=self.role, content=_plain(parts)) if parts else None


class UIChatRequest(Lenient):
    """A question of the AI SDK's ``useChat``; ``id`` is the session, begun where it is not there yet."""

    id: _ChatId
    messages: list[UIMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: Annotated[str, Field(max_length=200)] | None = None  # noqa: N815 - the protocol's own name
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    metadata: Metadata | None = None
    include_steps: bool = False

    @field_validator("messages")
    @classmethod
    def _asks(cls, messages: list[UIMessage]) -> list[UIMessage]:
        last = messages[-1]
        said = last.message()
        if last.role != "user" or said is None or (isinstance(said.content, str) and not said.text.strip()):
            raise ValueError("the last message must be the user's, with a text or a file")
        return messages

    def inquiry(self) -> Inquiry:
        """Return the question as the lane knows it."""
        said = (message.message() for message in self.messages)
        return Inquiry(
            messages=tuple(message for message in said if message is not None),
            session_id=self.id,
            anew=(self.messageId or "") if self.trigger == "regenerate-message" else None,
            makes_session=True,
            model=model_named(self.model) if self.model else None,
            any_model=False,
            metadata=dict(self.metadata or {}),
            include_steps=self.include_steps,
            dialect=UIDialect(),
        )


class AgentPart(Lenient):
    """A part of a message; only text and what has an address are for the model."""

    type: str
    text: _Text | None = None
    mimeType: str | None = None  # noqa: N815 - the protocol's own name
    url: str | None = None
    data: str | None = None
    filename: str | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.type == "binary" and self.part() is None:
            raise ValueError("binary content has a mimeType, and data or the URL of an image")
        return self

    def part(self) -> ContentPart | None:
        """Return it as the lane knows it, or None where it says the model nothing."""
        if self.type == "text" and self.text:
            return TextPart(self.text)
        url = self.url or (
            f"data:{self.mimeType};base64,{self.data}" if self.data and self.mimeType else None
        )
        return _file(url, self.mimeType or "", self.filename) if self.type == "binary" and url else None


class AgentMessage(Lenient):
    """One message of AG-UI's."""

    role: Literal["developer", "system", "user", "assistant", "tool", "reasoning", "activity"]
    content: _Text | list[AgentPart] | dict[str, JsonValue] | None = None
    toolCalls: list[CallIn] | None = None  # noqa: N815 - the protocol's own name
    toolCallId: str | None = None  # noqa: N815 - the protocol's own name

    def message(self) -> Message | None:
        """Return it as the lane knows it; None where it says the model nothing."""
        if self.role == "reasoning" or self.role == "activity" or isinstance(self.content, dict):
            return None
        content: str | tuple[ContentPart, ...] | None = None
        if isinstance(self.content, list):
            content = _plain(tuple(part for one in self.content if (part := one.part()) is not None))
        else:
            content = self.content
        calls = tuple(
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in self.toolCalls or []
        )
        if not content and not calls:
            return None
        return Message(role=self.role, content=content, tool_calls=calls, tool_call_id=self.toolCallId)


class ContextIn(Lenient):
    """Something that the app tells the agent."""

    description: str = Field(max_length=MAX_CHARACTERS)
    value: str = Field(max_length=MAX_CHARACTERS)


class AgentRequest(Lenient):
    """AG-UI's ``RunAgentInput``; the thread is the session, begun where it is not there yet."""

    threadId: _Id  # noqa: N815 - the protocol's own names
    runId: str = Field(min_length=1, max_length=200)  # noqa: N815
    parentRunId: Annotated[str, Field(max_length=200)] | None = None  # noqa: N815
    messages: list[AgentMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    tools: list[JsonValue] = Field(default=[])
    context: list[ContextIn] = Field(default=[], max_length=100)
    state: JsonValue = None
    forwardedProps: JsonValue = None  # noqa: N815

    @field_validator("messages")
    @classmethod
    def _asks(cls, messages: list[AgentMessage]) -> list[AgentMessage]:
        said = messages[-1].message()
        if (
            messages[-1].role != "user"
            or said is None
            or (isinstance(said.content, str) and not said.text.strip())
        ):
            raise ValueError("the last message must be the user's, with a text or a file")
        return messages

    @field_validator("tools")
    @classmethod
    def _no_tools(cls, tools: list[Any]) -> list[Any]:
        if tools:
            raise ValueError(
                "the answer is written from the documents, and a client's own tools are not handed to the "
                "model; leave them out"
            )
        return tools

    def inquiry(self) -> Inquiry:
        """Return the question as the lane knows it; what the app tells comes right before the question."""
        *earlier, asked = (said for message in self.messages if (said := message.message()) is not None)
        told = "\n".join(f"{one.description}: {one.value}" for one in self.context)
        context = (Message(role="system", content=told),) if told else ()
        wishes = self.forwardedProps if isinstance(self.forwardedProps, dict) else {}
        run = {"runId": self.runId} | ({"parentRunId": self.parentRunId} if self.parentRunId else {})
        return Inquiry(
            messages=(*earlier, *context, asked),
            newest=1 + len(context),
            session_id=self.threadId,
            makes_session=True,
            metadata={RUN: run},
            include_steps=wishes.get("include_steps") is True,
            dialect=AGUIDialect(),
        )


def _plain(parts: tuple[ContentPart, ...]) -> str | tuple[ContentPart, ...]:
    """Return a text alone as text, which every provider takes."""
    if all(isinstance(part, TextPart) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))
    return parts


def _file(url: str, media_type: str, filename: str | None) -> ContentPart | None:
    if media_type.startswith("image/") and url.startswith(_IMAGE):
        return ImagePart(ImageURL(url))
    return FilePart(FileRef(filename=filename, file_data=url)) if url.startswith("data:") else None
