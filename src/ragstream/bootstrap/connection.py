"""A connection that can be cut, and that does not wait for ever for a request.

uvicorn only closes connections, and closing waits until the peer has taken what was written: a peer that
never reads would hold its connection, and up to a buffer of bytes, for ever. And it waits for the head of a
request without limit, of time or of bytes. Over httptools it sends chunks to clients of HTTP/1.0, too, which
know none (RFC 9112, 6.1).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.types import Message
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection"]

_HEAD_SECONDS = 10.0  # for the head of a request
_HEAD_SIZE = 64 * 1024  # bytes of a head that is not complete
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

if TYPE_CHECKING:
    _HTTPProtocol = H11Protocol
else:
    _HTTPProtocol = AutoHTTPProtocol  # httptools where it is installed; both have what is used here


class Connection(_HTTPProtocol):
    """Cuts what is still unsent when it has been idle, and gives each request two things in its state.

    ``abort`` cuts the connection. ``line``, over httptools and HTTP/1.1, writes the pieces of a body of
    unknown length past ``send``.
    """

    __slots__ = ("_head_size", "_head_timer")  # two attributes more in its dictionary, and it doubles

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_size = 0
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def on_headers_complete(self) -> None:
        """Prepare the response, before the task that answers has begun; httptools calls it."""
        super().on_headers_complete()  # type: ignore[misc]
        if self.scope.get("http_version") == "1.0":
            _send_unframed(self.cycle)
        elif self.scope["method"] != "HEAD":
            self.scope["state"]["line"] = _Line(self.transport, self.flow)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, or its head awaited: the first one, or the rest of another."""
        return self._head_timer is not None or not getattr(self.cycle, "response_complete", True)

    def answer_once_more(self) -> None:
        """Close once the response that is under way has ended."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not getattr(self.cycle, "response_complete", True):  # a request is there
            self._forget_head()
            return
        self._head_size += len(data)
        if self._head_size > _HEAD_SIZE:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves the timer of a line that was cut
        self._forget_head()

    def _forget_head(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.transport.abort()


class _Line:
    """The way to the client, once the head was sent."""

    __slots__ = ("_flow", "_transport")

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport, self._flow = transport, flow

    def is_free(self) -> bool:
        """Return whether the client takes what is written now."""
        return not (self._flow.write_paused or self._transport.is_closing())

    def write(self, data: bytes) -> None:
        """Write a piece of the body at once."""
        if data:  # an empty chunk would end the body
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def _send_unframed(cycle: Any) -> None:
    """Have a body of unknown length sent as it is: it ends with its connection."""
    send = cycle.send

    unframed = False

    async def send_unframed(message: Message) -> None:
        nonlocal unframed
        if message["type"] == "http.response.start":
            unframed = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if unframed:
                cycle.chunked_encoding = False
        elif unframed:  # uvicorn counts what is left of the length that it was told
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = send_unframed
