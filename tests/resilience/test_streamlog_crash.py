"""kill -9 while events pour in: the log holds a prefix, and at least what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from ragstream.errors import ConfigError
from ragstream.events import EventType, Interrupted, StreamEvent
from ragstream.streamlog import Record
from ragstream.streamlog.sqlite import SQLiteLog

STREAMS = 10
DEADLINE = 30.0
# Says which seqs are acknowledged, a line each: stream and seq.
PRODUCER = f"""
import asyncio, sys
from pathlib import Path
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog.sqlite import SQLiteLog

async def produce(log, name):
    writer = await log.open(name, "ann")
    token = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=f"{{name}} token"))
    while True:
        for _ in range(10):
            seq = writer.append(token)
            await writer.room()
        await writer.flush()
        print(name, seq, flush=True)

async def main():
    log = SQLiteLog(Path(sys.argv[1]) / "log.db")
    await log.start()
    await asyncio.gather(*(produce(log, f"s{{number}}") for number in range({STREAMS})))

asyncio.run(main())
"""


async def _read_until(log: SQLiteLog, stream_id: str, last_seq: int) -> list[Record]:
    records: list[Record] = []
    async with aclosing(log.read(stream_id)) as batches:
        while len(records) < last_seq:
            records += await anext(batches)
    return records


def _kill_midway(folder: Path, lines: int) -> dict[str, int]:
    """Start a producer, kill it after so many acknowledgements, return the last ones by stream."""
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for _ in range(lines):
                name, seq = process.stdout.readline().split()
                acknowledged[name] = int(seq)
            if lines % 2:
                with pytest.raises(ConfigError, match=f"in use by process {process.pid}"):
                    asyncio.run(SQLiteLog(folder / "log.db").start())
        finally:
            process.kill()
        for line in process.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                name, seq = line.split()
                acknowledged[name] = int(seq)
        assert process.wait(DEADLINE) == -signal.SIGKILL
    return acknowledged


async def _settle(folder: Path, acknowledged: dict[str, int]) -> None:
    log = SQLiteLog(folder / "log.db")
    await log.start()  # the dead process holds nothing
    for stream_id in await log.orphans():
        status = await log.status(stream_id)
        assert status is not None
        assert status.last_seq >= acknowledged.get(stream_id, 0)
        records = await _read_until(log, stream_id, status.last_seq)
        assert [record.seq for record in records] == list(range(1, status.last_seq + 1))
        assert all(
            delta is not None and delta.content == f"{stream_id} token"
            for delta in (record.event.text_delta for record in records)
        )
        heir = await log.adopt(stream_id)
        last = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=status.last_seq))
        assert heir.append(last) == status.last_seq + 1
        await heir.close()
        whole = await _read_until(log, stream_id, status.last_seq + 1)
        assert whole[-1].event == last
    assert await log.orphans() == []
    await log.aclose()


@pytest.mark.parametrize("lines", [1, 12, 47])
def test_a_killed_log_is_a_prefix(tmp_path: Path, lines: int) -> None:
    acknowledged = _kill_midway(tmp_path, lines)
    asyncio.run(asyncio.wait_for(_settle(tmp_path, acknowledged), DEADLINE))
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (orphaned,) = connection.execute("SELECT count(*) FROM log WHERE ended IS NULL").fetchone()
    assert orphaned == 0


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(50))
def test_a_log_killed_at_any_moment_is_a_prefix(tmp_path: Path, seed: int) -> None:
    test_a_killed_log_is_a_prefix(tmp_path, random.Random(seed).randrange(1, 200))
