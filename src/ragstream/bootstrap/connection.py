"""A connection that can be cut.

uvicorn only closes connections, and closing waits until the peer has taken what was written: a peer that
never reads would hold its connection, and up to a buffer of bytes, for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection"]

if TYPE_CHECKING:
    _HTTPProtocol = H11Protocol
else:
    _HTTPProtocol = AutoHTTPProtocol  # httptools where it is installed; both have what is used here


class Connection(_HTTPProtocol):
    """Gives each request ``scope["state"]["abort"]``, and cuts what is still unsent when it has been idle."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.transport.abort()
