"""LaneResponse: an ASGI response whose call runs the request lane.

An answer may be read for minutes, and the way to its route, through the framework's layers, is some twenty
frames deep. So the lane runs once all of them have returned, where ``scope["state"]["run_later"]`` takes it;
their ``send`` goes on working.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

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
        """Run the lane, now or a moment later."""
        exchange = Exchange(
            scope=scope, receive=receive, send=send, intake=self._intake, request_id=self._request_id
        )
        work = partial(_serve, self._lane, exchange, self._kit)
        if (run_later := scope.get("state", {}).get("run_later")) is not None:
            run_later((work, send))
        else:
            await work()


async def _serve(lane: Lane, exchange: Exchange, kit: DeliveryKit) -> None:
    """Run the lane; a reader that is gone needs no answer."""
    try:
        await run(lane, exchange, kit)
    except ReaderEvicted:
        kit.metrics.evictions.inc()
        await _cut(exchange.scope, exchange.receive)
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
