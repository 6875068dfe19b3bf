"""One worker of several: it serves on its parent's socket until it is told to go.

It goes in one of two ways. *Drain*: the whole server ends, so new questions get 503 and running answers end
here, before their readers. *Roll*: this worker alone is replaced, so it accepts nothing more, its readers are
sent to its siblings, and its answers go on until they have ended or the drain time has. SIGTERM to one worker
means roll; a parent that is gone means drain.

A worker that rolls closes no connection over which a request may be on its way, for its client would read an
error and could not know whether its question was taken. So a connection that has brought no request yet keeps
its time for one, what comes is answered with ``Connection: close``, and nothing is refused.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from enum import Enum
from multiprocessing.connection import Connection as Pipe

from ragstream.bootstrap import wiring
from ragstream.bootstrap.service import Service
from ragstream.bootstrap.serving import Server, loop_factory
from ragstream.delivery.beside import race
from ragstream.errors import RagstreamError
from ragstream.settings import Settings
from ragstream.telemetry import configure_logging, start_tracing

__all__ = ["READY", "Order", "run"]

READY = b"ready"
_LAST_CALL = 5.0  # seconds in which a request may still come over a connection that has been idle
_LOOK = 0.1  # seconds between two looks at what a worker that goes still has to do


class Order(Enum):
    """What a parent tells a worker."""

    DRAIN = b"drain"
    ROLL = b"roll"
    HURRY = b"hurry"  # wait no longer for answers under way


def run(settings: Settings, listener: socket.socket, pipe: Pipe) -> None:
    """Serve until told otherwise; what cannot be opened is one line, and exit code 2."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which tells us
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logging(form=settings.log_format, level=settings.log_level)
    if settings.tracing:
        start_tracing()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_Worker(settings, listener, pipe).serve())
    except RagstreamError as error:
        print(f"ragstream: {error}", file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(2)


class _Worker:
    def __init__(self, settings: Settings, listener: socket.socket, pipe: Pipe) -> None:
        self._listener = listener
        self._pipe = pipe
        self._drain = settings.drain
        self._service: Service = wiring.worker(settings)
        self._server = Server(self._service)
        self._told: asyncio.Event
        self._hurrying: asyncio.Event
        self._rolling = False

    async def serve(self) -> None:
        self._told, self._hurrying = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._heed, Order.ROLL)
        loop.add_reader(self._pipe.fileno(), self._listen)
        await self._service.start()
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        told = asyncio.create_task(self._told.wait())
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        self._pipe.send_bytes(READY)
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        if self._told.is_set():
            leaving = self._roll() if self._rolling else self._service.drain(self._drain)
            await race(leaving, self._in_a_hurry())
            self._server.close_idle()
            await self._service.drain(0)
            self._server.should_exit = True
        told.cancel()
        await serving

    async def _roll(self) -> None:
        """Send the readers to the siblings, and answer what still comes over the connections that we took."""
        self._server.stop_accepting()
        self._service.move_readers()
        clock = asyncio.get_running_loop().time
        began = clock()
        while clock() - began < self._drain:
            await asyncio.sleep(_LOOK)
            waits = self._server.is_connected and clock() - began < _LAST_CALL
            if not (waits or self._server.is_busy or self._service.supervisor.live):
                return

    def _listen(self) -> None:
        try:
            self._heed(Order(self._pipe.recv_bytes()))
        except (EOFError, OSError):  # the parent is gone
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._heed(Order.DRAIN)

    def _heed(self, order: Order) -> None:
        if order is Order.HURRY:
            self._hurrying.set()
        elif not self._told.is_set():
            self._rolling = order is Order.ROLL
            self._told.set()

    async def _in_a_hurry(self) -> None:
        await self._hurrying.wait()
