"""The parent of several workers: it holds the socket, and does what must be done once.

It migrates the tables, reads the documents and settles the answers of processes that died; the workers serve.
A worker that dies is replaced, after a pause that grows while it keeps dying. SIGTERM and SIGINT end all,
as they end a single process; SIGHUP replaces one worker after the other, the new one first.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from ragstream.bootstrap import wiring, worker
from ragstream.bootstrap.serving import address_of, loop_factory
from ragstream.bootstrap.worker import READY, Order
from ragstream.errors import RagstreamError, Unavailable
from ragstream.settings import Settings
from ragstream.telemetry import get_logger, share_metrics

__all__ = ["run"]

_log = get_logger(__name__)
_PAUSES = 0.5, 10.0  # seconds before a worker that died is replaced: the first time, and at most
_LONG = 30.0  # seconds after which a worker's death is a first one again
_TO_END = 20.0  # seconds beyond the drain time, after which a worker is killed
_spawning = get_context("spawn")  # a fork would take our threads' locks along


def run(settings: Settings, paths: Sequence[Path], listener: socket.socket) -> None:
    """Run the workers until a signal ends them.

    Raises:
        ConfigError: something cannot be used as it is set.
        Unavailable: the workers do not start; they have said why.
    """
    with _metrics_shared(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_Parent(settings, paths, listener).run())


class _Worker:
    """One process, from its start to its end."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._pipe, theirs = _spawning.Pipe()
        self.ready: asyncio.Future[bool] = loop.create_future()  # False: it ended before it was
        self.ended = asyncio.Event()
        self._process = _spawning.Process(target=worker.run, args=(settings, listener, theirs))
        self._process.start()
        theirs.close()
        loop.add_reader(self._pipe.fileno(), self._hear)
        loop.add_reader(self._process.sentinel, self._end)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None  # noqa: S101 - it was started
        return self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.exitcode

    def tell(self, order: Order) -> None:
        with suppress(OSError):  # it has ended
            self._pipe.send_bytes(order.value)

    def kill(self) -> None:
        self._process.kill()

    def _hear(self) -> None:
        try:
            said = self._pipe.recv_bytes()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            return
        if said == READY and not self.ready.done():
            self.ready.set_result(True)

    def _end(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._process.sentinel)
        loop.remove_reader(self._pipe.fileno())
        self._process.join()
        self._pipe.close()
        mark_process_dead(self.pid)  # type: ignore[no-untyped-call]
        if not self.ready.done():
            self.ready.set_result(False)
        self.ended.set()


class _Place:
    """A worker's place: there is always one in it, or one on its way."""

    def __init__(self, start: Callable[[], _Worker]) -> None:
        self._start = start
        self.worker = start()

    async def keep(self) -> None:
        """Replace the worker whenever it ends by itself; for ever."""
        first, longest = _PAUSES
        pause = first
        while True:
            current, began = self.worker, _clock()
            await current.ended.wait()
            if self.worker is not current:  # it was replaced
                continue
            pause = first if _clock() - began > _LONG else min(2 * pause, longest)
            _log.error("worker died", pid=current.pid, code=current.code, replaced_in=pause)
            await asyncio.sleep(pause)
            if self.worker is current:
                self.worker = self._start()

    async def replace(self, drain: float) -> None:
        """Put a new worker here, and let the old one go once the new one serves."""
        new = self._start()
        if not await new.ready:
            _log.error("worker not replaced: the new one did not start", code=new.code)
            return
        old, self.worker = self.worker, new
        await _leave(old, Order.ROLL, drain)
        _log.info("worker replaced", old=old.pid, new=new.pid)


class _Parent:
    def __init__(self, settings: Settings, paths: Sequence[Path], listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._service = wiring.server(settings, paths)
        self._places: list[_Place] = []
        self._workers: set[_Worker] = set()  # all that were started and may still run
        self._rolling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        stopping, hurrying = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_stop() -> None:
            (hurrying if stopping.is_set() else stopping).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._roll)
        try:
            await self._service.start()
            await self._start_workers()
            keeping = [asyncio.create_task(place.keep()) for place in self._places]
            await stopping.wait()
            for task in keeping:
                task.cancel()
            await self._end_workers(hurrying)
        finally:
            for one in self._workers:
                if not one.ended.is_set():
                    one.kill()
            await self._service.aclose()

    def _start(self) -> _Worker:
        self._workers = {one for one in self._workers if not one.ended.is_set()}
        started = _Worker(self._settings, self._listener)
        self._workers.add(started)
        return started

    async def _start_workers(self) -> None:
        self._places = [_Place(self._start) for _ in range(self._settings.workers)]
        for place in self._places:
            if not await place.worker.ready:
                raise Unavailable("The workers do not start.")
        address = address_of(self._listener)
        told = f"Ragstream listens at {address} ({len(self._places)} workers)"
        print(told, file=sys.stderr, flush=True)  # noqa: T201

    async def _end_workers(self, hurrying: asyncio.Event) -> None:
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.wait([self._rolling])
        hurry = asyncio.create_task(_hurry(self._workers, hurrying))
        await asyncio.gather(*(_leave(one, Order.DRAIN, self._settings.drain) for one in self._workers))
        hurry.cancel()

    def _roll(self) -> None:
        if self._places and (self._rolling is None or self._rolling.done()):
            self._rolling = asyncio.create_task(self._replace_all())

    async def _replace_all(self) -> None:
        for place in self._places:
            try:
                await place.replace(self._settings.drain)
            except (RagstreamError, OSError) as error:
                _log.error("worker not replaced", error=str(error))


async def _leave(one: _Worker, order: Order, drain: float) -> None:
    """Let a worker go; if it does not in time, kill it."""
    one.tell(order)
    try:
        async with asyncio.timeout(drain + _TO_END):
            await one.ended.wait()
    except TimeoutError:
        _log.error("worker killed: it did not end", pid=one.pid)
        one.kill()
        await one.ended.wait()


async def _hurry(workers: Collection[_Worker], hurrying: asyncio.Event) -> None:
    await hurrying.wait()
    for one in workers:
        one.tell(Order.HURRY)


@contextmanager
def _metrics_shared() -> Iterator[None]:
    """Let the processes keep their figures in one folder, which goes with us."""
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(given or tempfile.mkdtemp(prefix="ragstream-metrics-"))
    for old in folder.glob("*.db"):
        old.unlink()
    share_metrics(folder)
    try:
        yield
    finally:
        if not given:
            shutil.rmtree(folder, ignore_errors=True)


def _clock() -> float:
    return asyncio.get_running_loop().time()
