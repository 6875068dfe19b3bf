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
        """Take no new connections; others that have the socket do."""
        for server in self.servers:
            server.close()

    @property
    def is_awaiting_requests(self) -> bool:
        """Whether a connection was made over which no request has come yet."""
        return any(getattr(connection, "cycle", 0) is None for connection in self.server_state.connections)

    def close_idle(self) -> None:
        """Close connections without a request, and the others once their response has ended."""
        for connection in list(self.server_state.connections):
            connection.shutdown()


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
