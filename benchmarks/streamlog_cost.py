"""What one token costs in the stream log: append, acknowledge, and hand to one reader.

    python benchmarks/streamlog_cost.py [--streams 100] [--rate 50] [--tokens 200]

Each stream says its tokens to one reader. "Paced" is at the given rate: the CPU time of the process, less
what the same producers cost without a log, divided by the tokens. "At once" is as fast as they can say them,
nothing subtracted.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog

TOKEN = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=" token"))
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")

Produce = Callable[[int], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second and stream")
    parser.add_argument("--tokens", type=int, default=200, help="tokens of each stream")
    options = parser.parse_args()
    run = _runner()
    idle = run(_producers(_silent(options.rate, options.tokens), options.streams))
    tokens = options.streams * options.tokens
    print(f"{options.streams} streams, {options.tokens} tokens each, {options.rate:g} a second")
    print(f"{'log':30} {'µs/token, paced':>16} {'µs/token, at once':>18}")
    for name, make in _logs().items():
        paced = run(_measured(make, options.rate, options.tokens, options.streams)) - idle
        rushed = run(_measured(make, 0, options.tokens, options.streams))
        print(f"{name:30} {paced / tokens * 1e6:16.1f} {rushed / tokens * 1e6:18.1f}")


def _logs() -> dict[str, Callable[[Path], StreamLog]]:
    return {
        "memory": lambda _: MemoryLog(),
        "SQLite, no window": lambda folder: SQLiteLog(folder / "log.db", window=0),
        "SQLite, 5 ms": lambda folder: SQLiteLog(folder / "log.db"),
        "SQLite, 10 ms": lambda folder: SQLiteLog(folder / "log.db", window=0.01),
        "SQLite, 5 ms, FULL": lambda folder: SQLiteLog(folder / "log.db", synchronous="FULL"),
    }


async def _measured(make: Callable[[Path], StreamLog], rate: float, tokens: int, streams: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        log = make(Path(folder))
        await log.start()
        cost = await _producers(_logged(log, rate, tokens), streams)
        await log.aclose()
    return cost


async def _producers(produce: Produce, streams: int) -> float:
    """Run the producers; return the CPU seconds they took."""
    before = time.process_time()
    await asyncio.gather(*(produce(number) for number in range(streams)))
    return time.process_time() - before


def _silent(rate: float, tokens: int) -> Produce:
    async def produce(number: int) -> None:
        await _pace(number, rate, tokens, lambda: None)

    return produce


def _logged(log: StreamLog, rate: float, tokens: int) -> Produce:
    async def produce(number: int) -> None:
        stream_id = f"{number:032x}"
        writer = await log.open(stream_id, "bench")
        reader = asyncio.create_task(_read(log, stream_id))

        def say() -> None:
            writer.append(TOKEN)

        await _pace(number, rate, tokens, say, room=writer.room)
        writer.append(END)
        await writer.close()
        assert await reader == tokens + 1

    return produce


async def _pace(
    number: int,
    rate: float,
    tokens: int,
    say: Callable[[], None],
    room: Callable[[], Awaitable[None]] | None = None,
) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time() + (number * 0.618 % 1) / rate if rate else 0  # spread evenly
    for token in range(tokens):
        say()
        if room is not None:
            await room()
        await asyncio.sleep(max(0.0, start + (token + 1) / rate - loop.time()) if rate else 0)


async def _read(log: StreamLog, stream_id: str) -> int:
    async with aclosing(log.read(stream_id)) as batches:
        return sum([len(batch) async for batch in batches])


def _runner() -> Callable[[Awaitable[float]], float]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run  # type: ignore[return-value]
    return uvloop.run  # type: ignore[return-value]


if __name__ == "__main__":
    main()
