"""A server process whose answers are what the question orders. Run as: talking_server.py FOLDER

The question is JSON: ``words`` of ``size`` bytes with a ``pause`` in seconds after each. Each begins with the
moment when it was said; with ``wait``, a name, the last one comes only after ``GET /open/NAME``. A question
with a ``name`` is answered by hand instead: ``GET /say/NAME/3`` lets it say three words more, and
``GET /end/NAME`` end. ``GET /delete/STREAM`` deletes a log. At SIGUSR2 the process tells of itself, a line of
JSON on standard error; at SIGTERM it ends.
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
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import uvicorn
import uvloop
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from ragstream import ChatRequest, Ragstream
from ragstream.bootstrap.connection import Connection
from ragstream.bootstrap.stores import database_stores
from ragstream.delivery.settings import DeliverySettings
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.redis import RedisLog

database_stores("sqlite:///never-opened")  # imports what the process needs, before it is forked

SEND_BUFFER = 128 * 1024  # as ragstream serve does
gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
by_hand: defaultdict[str, asyncio.Queue[str | None]] = defaultdict(asyncio.Queue)
asked = 0


async def answer(request: ChatRequest) -> AsyncGenerator[str, None]:
    global asked
    asked += 1
    order = json.loads(request.messages[-1].text)
    while name := order.get("name"):
        if (word := await by_hand[name].get()) is None:
            return
        yield word
    for number in range(order["words"]):
        if number == order["words"] - 1 and "wait" in order:
            await gates[order["wait"]].wait()
        yield f"{time.monotonic():.4f} ".ljust(order.get("size", 12))
        await asyncio.sleep(order.get("pause", 0))


class Hand:
    """Leads the answers that are given by hand; everything else is the app's."""

    def __init__(self, ragstream: Ragstream) -> None:
        self._ragstream = ragstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match str(scope.get("path", "")).split("/")[1:]:
            case ["say", name, count]:
                for number in range(int(count)):
                    by_hand[name].put_nowait(f"{name} {number} \r\n🙂 ")
            case ["open", name]:
                gates[name].set()
            case ["end", name]:
                by_hand[name].put_nowait(None)
            case ["delete", stream_id]:
                await self._ragstream.service.log.delete(stream_id)
            case _:
                await self._ragstream.app(scope, receive, send)
                return
        await PlainTextResponse("ok")(scope, receive, send)


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


async def main(folder: str | None, log: StreamLog | None, tell_port: Callable[[int], None]) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    delivery = DeliverySettings(max_answers=20_000)
    async with Ragstream(answer, folder=folder, log=log, delivery=delivery, deadline=7200.0) as ragstream:
        config = uvicorn.Config(
            Hand(ragstream), http=Connection, lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, tell)
        loop.add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
        tell_port(listener.getsockname()[1])
        await server.serve([listener])


def talk(folder: str | None, redis: tuple[str, str] | None, tell_port: Callable[[int], None]) -> None:
    """Serve until SIGTERM: with a log in the folder, in Redis at a URL with a prefix, or in memory."""
    log = RedisLog(redis[0], prefix=redis[1], lease=1.0) if redis else None
    logging.basicConfig(level=logging.CRITICAL)
    uvloop.run(main(folder, log, tell_port))


if __name__ == "__main__":
    talk(sys.argv[1], None, lambda port: say(f"listens at http://127.0.0.1:{port}"))
