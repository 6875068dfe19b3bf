r"""Server-Sent Events on the wire: pure functions from values to bytes.

Rules, from the HTML standard's "Server-sent events" (9.2.5 and 9.2.6):

1. A line ends at CR, LF or CRLF, and at nothing else: ``str.splitlines`` also breaks at U+2028 and others.
2. We write LF alone. One space follows the colon and is the only one that a reader strips.
3. An id or an event name that the standard cannot carry is refused, never mended: stripping CR from
   ``"a\r\ndata: evil"`` would turn it into another id.
"""

from __future__ import annotations

import re

__all__ = ["comment", "encode"]

_LINE_END = re.compile(r"\r\n|\r|\n")
_EVENT_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_RESERVED = frozenset({"error", "open"})  # EventSource dispatches these itself
_RETRY_MAX = 3_600_000


def encode(
    data: str | None = None,
    *,
    event: str | None = None,
    id: str | int | None = None,  # noqa: A002 - the field's own name
    retry: int | None = None,
) -> bytes:
    """Return one block: fields in the order id, event, retry, data, ended by a blank line.

    Args:
        data: the text; a reader gets it back with every line break as LF. Empty text is dispatched too.
        event: the event's name; ``None``, ``""`` and ``"message"`` write no line.
        id: the reader's new cursor; ``None`` leaves the cursor as it is.
        retry: milliseconds a reader shall wait before it reconnects.

    Raises:
        ValueError: a name, id or retry that the format cannot carry, or nothing to write.
    """
    lines: list[str] = []
    if id is not None:
        lines.append(f"id: {_checked_id(id)}")
    if event and event != "message":
        lines.append(f"event: {_checked_name(event)}")
    if retry is not None:
        lines.append(f"retry: {_checked_retry(retry)}")
    if data is not None:
        lines += [f"data: {line}" for line in _LINE_END.split(data)]
    elif event:
        raise ValueError("an event without data is never dispatched: give data, if only an empty text")
    if not lines:
        raise ValueError("an empty block says nothing")
    return _to_bytes("\n".join(lines) + "\n\n")


def comment(text: str = "") -> bytes:
    """Return lines that readers ignore: a heartbeat.

    No blank line follows: it would end a block, and some clients make an event of a block that says nothing.
    """
    lines = [f": {line}\n" if line else ":\n" for line in _LINE_END.split(text)]
    return _to_bytes("".join(lines))


def _checked_id(value: str | int) -> str:
    text = str(value)
    if isinstance(value, bool) or not text or any(character in text for character in "\r\n\0"):
        raise ValueError(f"not an event id: {value!r}")
    return text


def _checked_name(name: str) -> str:
    if not _EVENT_NAME.fullmatch(name) or name in _RESERVED:
        raise ValueError(f"not an event name: {name!r}")
    return name


def _checked_retry(retry: int) -> int:
    if type(retry) is not int or not 0 <= retry <= _RETRY_MAX:
        raise ValueError(f"not a retry time in milliseconds: {retry!r}")
    return retry


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
