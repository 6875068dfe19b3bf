"""Turns that are another version of an earlier one.

An earlier version stays until a later one is complete. So of several versions that stand, all but the first
one ended early, and the conversation is told with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragstream.storage.base import Turn

__all__ = ["before", "first_version", "standing"]


def first_version(stream_id: str, get: Callable[[str], Turn | None]) -> Turn | None:
    """Return the first version that is still there of this turn; None where it is not there itself."""
    first, earlier = None, get(stream_id)
    while earlier is not None:
        first, earlier = earlier, get(earlier.replaces) if earlier.replaces else None
    return first


def before(turns: Sequence[Turn], stream_id: str) -> Sequence[Turn]:
    """Return the turns before all versions of this one."""
    first = first_version(stream_id, {turn.stream_id: turn for turn in turns}.get)
    return turns if first is None else turns[: turns.index(first)]


def standing(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns without those whose earlier version stands."""
    names = {turn.stream_id for turn in turns}
    return [turn for turn in turns if turn.replaces not in names]
