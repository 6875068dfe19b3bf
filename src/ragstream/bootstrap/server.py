"""The server: its socket, its signals and its end; several workers are ``parent.py``'s.

uvicorn answers SIGTERM by refusing connections and waiting for streams without end. Here the signal is
ours: new questions get 503 at once, running answers end within the drain time, the rest are interrupted,
and the process exits with code 0. A second signal interrupts the running answers at once, and a third one
waits for no reader.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ragstream.bootstrap import parent, wiring
from ragstream.bootstrap.models import require_model
from ragstream.bootstrap.paths import require_paths
from ragstream.bootstrap.service import Service
from ragstream.bootstrap.serving import Server, address_of, listen, loop_factory
from ragstream.delivery.beside import race
from ragstream.settings import Settings, prepare_data_dir
from ragstream.telemetry import configure_logging, start_tracing

__all__ = ["run"]


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
    prepare_data_dir(settings)
    listener = listen(settings.host, settings.port)
    if settings.workers > 1:
        parent.run(settings, paths, listener)
        return
    service = wiring.server(settings, paths)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(service, listener, settings))


async def _serve(service: Service, listener: socket.socket, settings: Settings) -> None:
    server = Server(service)
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
    gc.collect()
    gc.freeze()  # modules and routes never go, and a look at them all stops every stream for some 0.1 s
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(stopping.wait())
    print(f"Ragstream listens at {address_of(listener)}", file=sys.stderr, flush=True)  # noqa: T201
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        await race(service.drain(settings.drain), _set(hurrying))
        await service.drain(0)
        server.should_exit = True
    stopped.cancel()
    await serving


async def _set(event: asyncio.Event) -> None:
    await event.wait()
