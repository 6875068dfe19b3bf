"""Strict JSON: what a lenient parser would let pass silently is refused with its place."""

from __future__ import annotations

import json
import math
from typing import Any

from ragstream.errors import BadJSON, InvalidField

__all__ = ["parse_json"]


def parse_json(body: bytes) -> Any:
    """Return the value of a UTF-8 JSON text.

    Raises:
        BadJSON: not UTF-8, not JSON (the message has line and column), a byte order mark, duplicate keys,
            NaN, or nested too deeply.
        InvalidField: a string with NUL or a lone surrogate, which no store could keep.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadJSON(f"The body is not UTF-8: byte {fault.start} is wrong.") from None
    if text.startswith("\ufeff"):
        raise BadJSON("The body begins with a byte order mark; send UTF-8 without one.")
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as fault:
        raise BadJSON(f"Not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}.") from None
    except RecursionError:
        raise BadJSON("The body is nested too deeply.") from None
    except ValueError:  # Python refuses to read a whole number of thousands of digits
        raise BadJSON("A number in the body has too many digits.") from None
    _check_strings(text)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadJSON(f"The key {twice[:64]!r} stands twice in one object.")
    return members


def _refuse_constant(name: str) -> None:
    raise BadJSON(f"{name} is not JSON.")


def _finite(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise BadJSON(f"The number {digits[:40]} is too large.")
    return value


def _check_strings(text: str) -> None:
    """Look for the two characters only where an escape could have made them."""
    if "\\u" not in text:
        return
    for string in _strings(json.loads(text)):
        if "\0" in string:
            raise InvalidField("A string has a NUL character; leave it out.")
        if any("\ud800" <= character <= "\udfff" for character in string):
            raise InvalidField("A string has a lone surrogate (\\ud800 to \\udfff); leave it out.")


def _strings(value: Any) -> list[str]:
    found: list[str] = []
    pending = [value]
    while pending:
        match pending.pop():
            case str() as string:
                found.append(string)
            case list() as items:
                pending += items
            case dict() as members:
                found += members
                pending += members.values()
    return found
