"""What a process needs to serve HTTP: the socket, the loop, and uvicorn without its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn

from ragstream.bootstrap.connection import Connection
from ragstream.bootstrap.service import Service
from ragstream.errors import ConfigError

__all__ = ["Server", "address_of", "listen", "loop_factory"]

_SEND_BUFFER = 128 * 1024  # bytes: a reader that never reads must not park megabytes in the kernel
_BACKLOG = 2048
_CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """uvicorn over a service; signals are ours."""

    def __init__(self, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                service.app,
                http=Connection,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=3,
                timeout_keep_alive=75,
                lifespan="on",
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us."""
        yield

    def stop_accepting(self) -> None:
        """Leave new connections to others that have the socket; give those that are open one more response.

        Its head says so: a client shall not send a request over a connection that is about to be closed.
        """
        for server in self.servers:
            server.close()
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        for connection in self._connections:
            connection.answer_once_more()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, or awaited: none has come yet, or only a part of it."""
        return any(connection.is_busy for connection in self._connections)

    @property
    def is_connected(self) -> bool:
        """Whether a client may send a request over an open connection."""
        return bool(self.server_state.connections)

    def close_idle(self) -> None:
        """Close connections without a request, and the others once their response has ended."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    @property
    def _connections(self) -> list[Connection]:
        return [one for one in self.server_state.connections if isinstance(one, Connection)]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        if fault.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} is taken; choose another with --port or RAGSTREAM_PORT."
            ) from fault
        raise ConfigError(f"Cannot listen on {host}:{port}: {fault.strerror}; check --host.") from fault
    listener.listen(_BACKLOG)
    listener.set_inheritable(True)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL at which people find the socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Return the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.Loop
