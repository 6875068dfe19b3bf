"""The server process: its socket, its signals and its end.

uvicorn answers SIGTERM by refusing connections and waiting for streams without end. Here the signal is
ours: new questions get 503 at once, running answers end within the drain time, the rest are interrupted,
and the process exits with code 0. A second signal interrupts the running answers at once, and a third one
waits for no reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from ragstream.bootstrap import wiring
from ragstream.bootstrap.connection import Connection
from ragstream.bootstrap.models import require_model
from ragstream.bootstrap.paths import require_paths
from ragstream.bootstrap.service import Service
from ragstream.delivery.reader import race
from ragstream.errors import ConfigError
from ragstream.settings import Settings
from ragstream.telemetry import configure_logging, start_tracing

__all__ = ["run"]

_SEND_BUFFER = 128 * 1024  # bytes: a reader that never reads must not park megabytes in the kernel
_BACKLOG = 2048


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us."""
        yield


def run(settings: Settings, paths: Sequence[Path]) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: a path, the port or the data directory cannot be used.
    """
    configure_logging(form=settings.log_format, level=settings.log_level)
    if settings.tracing:
        start_tracing()
    require_paths(paths)
    require_model(settings)
    listener = _listen(settings.host, settings.port)
    service = wiring.server(settings, paths)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(service, listener, settings))


async def _serve(service: Service, listener: socket.socket, settings: Settings) -> None:
    config = uvicorn.Config(
        service.app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
        lifespan="on",
    )
    server = _Server(config)
    stopping, hurrying = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        server.force_exit = hurrying.is_set()
        if stopping.is_set():
            hurrying.set()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await service.start()  # uvicorn would tell what cannot be opened in a hundred lines
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(stopping.wait())
    host, port = listener.getsockname()[:2]
    print(f"Ragstream listens at http://{_in_url(host)}:{port}", file=sys.stderr, flush=True)  # noqa: T201
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        await race(service.drain(settings.drain), _set(hurrying))
        await service.drain(0)
        server.should_exit = True
    stopped.cancel()
    await serving


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def _listen(host: str, port: int) -> socket.socket:
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


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.Loop
