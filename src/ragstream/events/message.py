"""Messages of a conversation, in the shape of OpenAI's Chat Completions, which every provider reads."""

from __future__ import annotations

from typing import Literal

import msgspec

from ragstream.events.event import ToolCall

__all__ = ["ContentPart", "FilePart", "FileRef", "ImagePart", "ImageURL", "Message", "Role", "TextPart"]

Role = Literal["system", "developer", "user", "assistant", "tool"]


class TextPart(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """A piece of text."""

    text: str


class ImageURL(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image is: an https or a data URL."""

    url: str
    detail: str | None = None


class ImagePart(msgspec.Struct, frozen=True, tag="image_url", tag_field="type"):
    """An image."""

    image_url: ImageURL


class FileRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file: an id known to the provider, or its data as a data URL."""

    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None


class FilePart(msgspec.Struct, frozen=True, tag="file", tag_field="type"):
    """A file for the model to read."""

    file: FileRef


ContentPart = TextPart | ImagePart | FilePart


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message: who says it, and what."""

    role: Role
    content: str | tuple[ContentPart, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()  # what an assistant called
    tool_call_id: str | None = None  # which call a tool message answers

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
