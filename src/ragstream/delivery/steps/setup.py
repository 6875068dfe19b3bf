"""S105: what is known of a streamed response before its first event."""

from __future__ import annotations

from ragstream.blueprint import step
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.setup import prepare
from ragstream.errors import ProgrammingError

__all__ = ["set_up_stream"]


@step("StreamSetup")
async def set_up_stream(exchange: Exchange, kit: DeliveryKit) -> None:
    """Prepare the Server-Sent Events response: headers, compression, heartbeat, CORS and its context.

    Nothing is sent yet: the head waits for the first event, so that an early failure keeps an honest status.
    """
    if exchange.principal is None or exchange.asked is None:
        raise ProgrammingError("a stream is set up only for a validated request")
    exchange.setup = prepare(
        exchange.request,
        kit.settings,
        principal=exchange.principal,
        session=exchange.session,
        request_id=exchange.request_id,
        dialect=exchange.asked.dialect,
    )
    exchange.note(
        streaming_requested=exchange.streaming,
        streaming_setup=True,
        headers_configured=bool(exchange.setup.headers),
        stream_context_prepared=True,
    )
