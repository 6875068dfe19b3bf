"""What storing one turn costs: open, history and close, each one transaction.

    python benchmarks/storage_turn.py                       # SQLite in a temporary folder
    python benchmarks/storage_turn.py --url postgresql://…  # an empty database
    python benchmarks/storage_turn.py --busy                # beside a loop that never idles

Prints milliseconds a turn: median, 99th percentile and maximum of the time, and the mean of the CPU's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from ragstream.events import EventType, Message, StreamEvent
from ragstream.storage.base import Turn
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.storage.turns import SQLTurns

TURNS_IN_A_SESSION = 10
ANSWER = "A sentence of an answer has some eight words. " * 20
ENDING = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


def new_turn(number: int, session: str) -> Turn:
    return Turn(
        stream_id=secrets.token_hex(16),
        message_id=secrets.token_hex(16),
        session_id=session,
        owner="ann",
        question=(Message(role="user", content="What is a stream log, and who reads it?"),),
        created=float(number),
    )


async def one_turn(turns: SQLTurns, turn: Turn) -> tuple[float, float, float]:
    """Return the seconds of opening, reading the history and closing."""
    times = [time.perf_counter()]
    await turns.open(turn)
    times.append(time.perf_counter())
    assert (await turns.history(turn.session_id))[-1] == turn
    times.append(time.perf_counter())
    await turns.close(msgspec.structs.replace(turn, status="complete", text=ANSWER, ending=ENDING))
    times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1], times[3] - times[2]


async def spin() -> None:
    """Keep the loop from idling, as hundreds of streams do."""
    while True:
        until = time.perf_counter() + 200e-6
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def measure(url: str | Path, count: int, busy: bool) -> None:
    await migrate(url)
    database = Database(url)
    turns = SQLTurns(database)
    await one_turn(turns, new_turn(0, secrets.token_hex(8)))
    spinning = asyncio.create_task(spin()) if busy else None
    session, taken = "", []
    cpu = time.process_time()
    for number in range(count):
        session = session if number % TURNS_IN_A_SESSION else secrets.token_hex(8)
        taken.append(await one_turn(turns, new_turn(number, session)))
    cpu = time.process_time() - cpu
    if spinning:
        spinning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await spinning
    for name, values in zip(("open", "history", "close"), zip(*taken, strict=True), strict=True):
        report(name, list(values))
    report("turn", [sum(three) for three in taken])
    if not busy:
        print(f"{'cpu':8} {1000 * cpu / count:8.3f} mean")
    await database.aclose()


def report(name: str, seconds: list[float]) -> None:
    median, worst = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    print(f"{name:8} {1000 * median:8.3f} p50 {1000 * worst:8.3f} p99 {1000 * max(seconds):8.3f} max")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a database; default: SQLite in a temporary folder")
    parser.add_argument("--count", type=int, default=1000, help="how many turns")
    parser.add_argument("--busy", action="store_true", help="beside a loop that never idles")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = chosen.url or Path(folder) / "app.db"
        uvloop.run(measure(where, chosen.count, chosen.busy))
