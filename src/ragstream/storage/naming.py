"""What a session is called until somebody renames it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ragstream.events import Message

__all__ = ["name_for", "writable_name"]

_LONGEST = 80  # characters; a line in a list
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def name_for(question: Iterable[Message]) -> str:
    """Return a session's name from its first question: one line, cut at a word where there is one."""
    asked = next((message.text for message in question if message.role == "user"), "")
    name = " ".join(writable_name(asked[: 4 * _LONGEST]).split())
    if len(name) <= _LONGEST:
        return name
    head, _, _ = name[:_LONGEST].rpartition(" ")
    return (head if len(head) > _LONGEST // 2 else name[: _LONGEST - 1]) + "…"


def writable_name(name: str) -> str:
    """Return the name with a space for each character that a line of text cannot have."""
    return _CONTROLS.sub(" ", name)
