"""A turn that is killed while it closes. Run as: closing_steps.py FOLDER MOST

For each n a child process answers a question and dies by ``_exit`` in the n-th pass of its event loop after
the ending was decided: before, between and after every await of the closing steps. What its reader was sent
it writes to a pipe. Then another child starts on the same folder, settles, and says what log and history
hold. A line of JSON a round goes to standard output; the last round's turn was over before its pass came.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ragstream import ChatRequest, Ragstream
from ragstream.bootstrap.service import Service
from ragstream.bootstrap.stores import database_stores

database_stores("sqlite:///never-opened")  # imports what the children need, before they are forked

KILLED = 137
WORDS = [f"word{number} " for number in range(20)]


async def answer(_: ChatRequest) -> AsyncGenerator[str, None]:
    for word in WORDS:
        yield word


async def read(service: Service, stream_id: str, tell: Callable[[Any], None]) -> None:
    async with aclosing(service.log.read(stream_id)) as records:
        async for batch in records:
            for record in batch:
                tell([record.seq, record.data.decode()])


async def turn(folder: Path, die_in: int, tell: Callable[[Any], None]) -> None:
    service = Ragstream(answer, folder=folder).service
    await service.start()
    stream_id = await service.ask("Go on.")
    tell(stream_id)
    run = service.supervisor._producers[stream_id].run
    loop, passes = asyncio.get_running_loop(), 0

    def count() -> None:
        nonlocal passes
        passes += run.ending is not None and bool(loop._ready)  # type: ignore[attr-defined]  # not an idle one
        if passes == die_in:
            os._exit(KILLED)
        loop.call_soon(count)

    loop.call_soon(count)
    await read(service, stream_id, tell)
    await service.aclose()


async def look(folder: Path, stream_id: str, tell: Callable[[Any], None]) -> None:
    service = Ragstream(answer, folder=folder).service
    await service.start()
    await read(service, stream_id, tell)
    stored = await service._parts.stores.turns.get(stream_id)
    tell({"status": stored and stored.status, "text": stored and stored.text})
    await service.aclose()


def in_child(work: Callable[..., Coroutine[Any, Any, None]], *facts: Any) -> tuple[int, list[Any]]:
    """Run ``work(*facts, tell)`` in a forked process; return its exit code and what it told."""
    source, sink = os.pipe()

    def tell(value: Any) -> None:
        os.write(sink, json.dumps(value).encode() + b"\n")

    if (child := os.fork()) == 0:
        os.close(source)
        asyncio.run(work(*facts, tell))
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as lines:
        told = [json.loads(line) for line in lines]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def main(folder: Path, most: int) -> None:
    in_child(turn, folder / "0", 0)  # the tables are made once
    for n in range(1, most + 1):
        here = shutil.copytree(folder / "0", folder / str(n))
        code, (stream_id, *sent) = in_child(turn, here, n)
        looked, (*logged, stored) = in_child(look, here, stream_id)
        assert looked == 0
        told = {"n": n, "code": code, "sent": sent, "logged": logged, "stored": stored}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        if code == 0:
            return


if __name__ == "__main__":
    logging.disable()
    main(Path(sys.argv[1]), int(sys.argv[2]))
