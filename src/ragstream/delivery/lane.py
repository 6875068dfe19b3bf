"""LaneResponse: an ASGI response whose call runs the request lane."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ragstream.blueprint import Lane, run
from ragstream.delivery.base import Intake
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.reader import until_left
from ragstream.errors import ReaderError, ReaderEvicted, ReaderLeft

__all__ = ["LaneResponse"]


class LaneResponse(Response):
    """What a route returns: nothing is read or sent before the framework calls it."""

    def __init__(self, lane: Lane, kit: DeliveryKit, intake: Intake, *, request_id: str) -> None:
        super().__init__()
        self._lane = lane
        self._kit = kit
        self._intake = intake
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lane; a reader that is gone needs no answer."""
        exchange = Exchange(
            scope=scope, receive=receive, send=send, intake=self._intake, request_id=self._request_id
        )
        try:
            await run(self._lane, exchange, self._kit)
        except ReaderEvicted:
            await _cut(scope, receive)
        except ReaderError:  # leaving is not failing: the answer goes on without this reader
            return


async def _cut(scope: Scope, receive: Receive) -> None:
    """Cut the line of a reader that takes nothing: to close it would wait for what was not taken.

    ``scope["state"]["abort"]`` is there under our own server; others close the connection as they can.
    """
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        abort()
        with suppress(ReaderLeft):
            await until_left(receive)
