"""Going on where an answer broke off, without saying anything twice."""

from __future__ import annotations

import msgspec

from ragstream.events import Message
from ragstream.llm.base import ChatRequest

__all__ = ["Joint", "continued"]

_LEAST = 12  # characters: a shorter overlap is more likely chance than repetition,
_LEAST_WORD = 3  # unless it begins where a word of what was said begins
_REACH = 2_000  # characters at the end of what was said that a continuation may repeat
_ASK = (
    "Your last message was cut off. Continue it from exactly where it stops, "
    "without repeating any of it and without a word about the interruption."
)


def continued(request: ChatRequest, said: str) -> ChatRequest:
    """Return the request that asks for the rest of an answer of which ``said`` is the beginning."""
    more = (Message(role="assistant", content=said), Message(role="user", content=_ASK))
    return msgspec.structs.replace(request, messages=request.messages + more)


class Joint:
    """Where a continuation meets what was said: what it repeats is cut away.

    Models repeat in two ways: from the beginning, or from some point near the end. As long as the text could
    still be such a repetition it is held back; then what overlaps is dropped and the rest let through.
    """

    def __init__(self, said: str) -> None:
        self._said = said
        self._tail = said[-_REACH:]
        self._held = ""
        self.open = bool(said)

    def write(self, text: str) -> str:
        """Return what of the text is new, and certain to be."""
        if not self.open:
            return text
        self._held += text
        if self._said.startswith(self._held) or self._held in self._tail:
            return ""
        return self.close()

    def close(self) -> str:
        """Return what is held back, overlap removed: the text is at its end, or no repetition."""
        self.open = False
        held, self._held = self._held, ""
        if held.startswith(self._said):
            return held[len(self._said) :]
        for size in range(min(len(held), len(self._tail)), _LEAST_WORD - 1, -1):
            if self._tail.endswith(held[:size]) and (size >= _LEAST or self._begins_word(size)):
                return held[size:]
        return held

    def _begins_word(self, size: int) -> bool:
        before = self._tail[-size - 1 : -size]
        return not (before and before.isalnum())
