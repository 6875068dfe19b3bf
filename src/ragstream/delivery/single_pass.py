"""SinglePassStream: an async generator that can be iterated once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Generic, TypeVar

from ragstream.errors import StreamConsumed

__all__ = ["SinglePassStream"]

Item = TypeVar("Item")


class SinglePassStream(AsyncIterable[Item], Generic[Item]):
    """Hands a generator out once.

    A second ``async for`` over a bare async generator silently yields nothing, or steals the first one's
    items; here it raises. Iterating costs nothing more: the generator itself is what is handed out.
    """

    def __init__(self, generator: AsyncGenerator[Item, Any]) -> None:
        self._generator = generator
        self._taken = False

    def __aiter__(self) -> AsyncGenerator[Item, Any]:
        return self.take()

    def take(self) -> AsyncGenerator[Item, Any]:
        """Return the generator; whoever takes it closes it.

        Raises:
            StreamConsumed: it was taken before.
        """
        if self._taken:
            raise StreamConsumed(
                "This stream was iterated before: an answer is generated once. "
                "Read it again from its log, GET /api/v1/streams/{stream_id}."
            )
        self._taken = True
        return self._generator

    async def aclose(self) -> None:
        """Close the generator, begun or not."""
        self._taken = True
        await self._generator.aclose()
