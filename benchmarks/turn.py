"""What one turn costs beside its tokens, and where: the whole server in this process, under cProfile.

    python benchmarks/turn.py [FOLDER] [--chunks 10000] [--turns 200] [--functions 40]

The server knows the documents of ``FOLDER``, or our own, or so many chunks made from our own, and writes its
log to a file; a scripted model says one token; a reader asks turn after turn. First the CPU time of a turn is
measured five times, in all and for each thread, then one round of the loop's thread is profiled. Model and
reader are in the process, so what they do is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import uvicorn
import uvloop
from hotpath import _CHUNK, _END, _HEAD
from rig.documents import fill

from ragstream.bootstrap import wiring
from ragstream.bootstrap.connection import Connection
from ragstream.settings import load
from ragstream.telemetry import configure_logging

_WARM, _ROUNDS = 30, 5
_LEAST = 0.01  # ms of CPU a turn, of a thread that is named
_INGESTING = 600.0  # seconds for the documents to be read
_QUESTIONS = (
    "How does a reader come back to its answer?",
    "What happens when the provider fails?",
    "Which settings limit how long an answer takes?",
)


class Model(asyncio.Protocol):
    """Answers each request at once."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if b'"messages"' in self._asked and self._asked.endswith(b"}"):
            self._asked = b""
            said = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (_CHUNK, _END))
            self.transport.write(_HEAD + said + b"0\r\n\r\n")


class Reader(asyncio.Protocol):
    """Asks, and tells when the answer is over."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.sources = False  # the last answer had some
        self._over: asyncio.Future[None]
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._body += data
        if self._body.endswith(b"0\r\n\r\n"):
            body, self._body = self._body, b""
            assert b"event: message_complete" in body, body
            self.sources = b"event: sources" in body
            self._over.set_result(None)

    async def ask(self, question: str) -> None:
        self._over = asyncio.get_running_loop().create_future()
        asked = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
        self.transport.write(
            b"POST /api/v1/chatbot/chat/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(asked), asked)
        )
        await asyncio.wait_for(self._over, 30)


class Measured(NamedTuple):
    """CPU milliseconds of a turn."""

    rounds: list[float]
    threads: dict[str, float]
    profile: cProfile.Profile


async def _measure(documents: list[Path], folder: Path, turns: int) -> Measured:
    loop = asyncio.get_running_loop()
    upstream = await loop.create_server(Model, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/v1"
    settings = load({"data_dir": folder, "stream_log": "memory", "openai_base_url": url, "model": "m"})
    service = wiring.server(settings, documents)
    await service.start()
    config = uvicorn.Config(service.app, http=Connection, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        return await _rounds(server.servers[0].sockets[0].getsockname()[1], turns)
    finally:
        await server.shutdown()
        upstream.close()


def _by_thread() -> dict[str, float]:
    """Return the CPU seconds of each thread of ours so far."""
    clocks = {one.name: time.pthread_getcpuclockid(one.ident) for one in threading.enumerate() if one.ident}
    return {name: time.clock_gettime(clock) for name, clock in clocks.items()}


async def _rounds(port: int, turns: int) -> Measured:
    transport, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
    profile, spent = cProfile.Profile(), []
    async with asyncio.timeout(_INGESTING):
        while not reader.sources:
            await reader.ask(_QUESTIONS[0])
    await _ask(reader, _WARM)
    gc.collect()
    gc.freeze()  # as a server does once it has started
    began = _by_thread()
    for _ in range(_ROUNDS):
        before = time.process_time()
        await _ask(reader, turns)
        spent.append((time.process_time() - before) / turns * 1e3)
    taken = {name: seconds - began.get(name, 0.0) for name, seconds in _by_thread().items()}
    threads = {name: seconds / (_ROUNDS * turns) * 1e3 for name, seconds in taken.items()}
    with profile:
        await _ask(reader, turns)
    transport.close()
    return Measured(spent, threads, profile)


async def _ask(reader: Reader, turns: int) -> None:
    for number in range(turns):
        await reader.ask(_QUESTIONS[number % len(_QUESTIONS)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", type=Path, nargs="?", default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--chunks", type=int, default=0, help="made from our own documents")
    parser.add_argument("--turns", type=int, default=200, help="of one round")
    parser.add_argument("--functions", type=int, default=40, help="how many are listed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.chunks:
            print(f"{fill(Path(folder), options.chunks)} chunks", flush=True)
        documents = [] if options.chunks else [options.documents]
        with (Path(folder) / "server.log").open("w") as log:
            configure_logging(stream=log)
            measured = uvloop.run(_measure(documents, Path(folder), options.turns))
            configure_logging()
    stats, spent = pstats.Stats(measured.profile), measured.rounds
    each = stats.total_tt / options.turns * 1e3  # type: ignore[attr-defined]
    least, median, most = min(spent), statistics.median(spent), max(spent)
    print(f"{median:.2f} ms a turn ({least:.2f} to {most:.2f}), {each:.2f} profiled")
    for name, taken in sorted(measured.threads.items(), key=lambda entry: -entry[1]):
        if taken >= _LEAST:
            print(f"{taken:8.2f} ms  {name}")
    stats.sort_stats("cumulative").print_stats(options.functions)


if __name__ == "__main__":
    main()
