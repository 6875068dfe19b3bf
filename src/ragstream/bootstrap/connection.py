"""A connection that can be cut, and that does not wait for ever for a request.

uvicorn only closes connections, and closing waits until the peer has taken what was written: a peer that
never reads would hold its connection, and up to a buffer of bytes, for ever. And it waits for the head of a
request without limit, of time or of bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.auto import AutoHTTPProtocol
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
    """Gives each request ``scope["state"]["abort"]``, and cuts what is still unsent when it has been idle."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, transport.close)

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
