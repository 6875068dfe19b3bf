"""A server process whose answers are what the question orders. Run as: talking_server.py FOLDER

The question is JSON: ``words`` of ``size`` bytes with a ``pause`` in seconds after each, and with ``wait``
the last one comes only once SIGUSR1 was sent. Each word begins with the moment when it was said. At SIGUSR2
the process tells of itself, a line of JSON on standard error; at SIGTERM it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import uvicorn
import uvloop

from ragstream import ChatRequest, Ragstream
from ragstream.bootstrap.connection import Connection
from ragstream.delivery.settings import DeliverySettings

SEND_BUFFER = 128 * 1024  # as ragstream serve does
gate = asyncio.Event()
asked = 0


async def answer(request: ChatRequest) -> AsyncGenerator[str, None]:
    global asked
    asked += 1
    order = json.loads(request.messages[-1].text)
    for number in range(order["words"]):
        if order.get("wait") and number == order["words"] - 1:
            await gate.wait()
        yield f"{time.monotonic():.4f} ".ljust(order.get("size", 12))
        await asyncio.sleep(order.get("pause", 0))


def tell() -> None:
    gc.collect()
    opened = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    facts = {
        "asked": asked,
        "tasks": len(asyncio.all_tasks()),
        "files": len([name for name in opened if ".db" not in name]),  # the database's pool comes and goes
        "rss": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
    }
    say(f"facts: {json.dumps(facts)}")


def say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


async def main(folder: str) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    delivery = DeliverySettings(max_answers=20_000)
    async with Ragstream(answer, folder=folder, delivery=delivery, deadline=7200.0) as ragstream:
        config = uvicorn.Config(
            ragstream.app, http=Connection, lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, gate.set)
        loop.add_signal_handler(signal.SIGUSR2, tell)
        loop.add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
        say(f"listens at http://127.0.0.1:{listener.getsockname()[1]}")
        await server.serve([listener])


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    uvloop.run(main(sys.argv[1]))
