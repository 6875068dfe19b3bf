"""What the scripted model says: the same words in every answer, so that every reader can check them."""

from __future__ import annotations

__all__ = ["TOKENS", "text_of"]

_WORDS = (
    "An answer is a log: it is generated once, by one consumer, and every event is in the log before any"
    " reader sees it. So a reader may leave, come back, come twice, in another protocol or über another"
    " worker, and reads the same answer.\n\nLeaving is not stopping, and stopping is not failing; a"
    " disconnect leaves the answer running, while a cancellation ends it, closes the connection to the"
    " provider and keeps the partial text. When the process dies, its readers are told so in bounded time."
)


def _tokens(text: str) -> list[str]:
    """Cut as tokenizers do: a word with the blank before it, longer ones in two."""
    pieces: list[str] = []
    for word in text.split(" "):
        word = f" {word}" if pieces else word
        pieces += [word[:5], word[5:]] if len(word) > 8 else [word]
    return pieces


TOKENS = _tokens(_WORDS)


def text_of(count: int) -> str:
    """Return the text of the first ``count`` tokens of an answer."""
    whole, rest = divmod(count, len(TOKENS))
    return "".join(TOKENS) * whole + "".join(TOKENS[:rest])
