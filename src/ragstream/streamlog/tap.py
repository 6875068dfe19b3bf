"""The short way to a reader who keeps up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragstream.streamlog.base import Record

__all__ = ["Tap"]


class Tap:
    """Where a reader takes records that come one by one, past the generator that it waits for.

    ``take`` is called where the record is acknowledged, and must neither wait nor raise. A record that it
    refuses, and all that follow until the reader waits again, come from the generator; the terminal one
    always does.
    """

    __slots__ = ("take",)

    def __init__(self) -> None:
        self.take: Callable[[Record], bool] | None = None
