"""A full disk: what was acknowledged stays readable, writers fail in time, and room makes all well again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, resource, signal, sqlite3, sys
from contextlib import aclosing
from pathlib import Path
from ragstream.errors import StorageFull, StoreError
from ragstream.events import EventType, Interrupted, StreamEvent, TextDelta
from ragstream.streamlog.sqlite import SQLiteLog

MEBIBYTE = 1 << 20
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")
TOKEN = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="x" * 10_000))

async def read(log, stream_id):
    seqs = []
    async with aclosing(log.read(stream_id)) as batches:
        try:
            async for batch in batches:
                seqs += [record.seq for record in batch]
        except StorageFull as error:
            return seqs, str(error)
    return seqs, None

async def whole(log, stream_id, events):
    writer = await log.open(stream_id, "ann")
    for _ in range(events):
        writer.append(TOKEN)
        await writer.room()
    writer.append(END)
    await writer.flush()
    await writer.close()

async def fill(writer):
    while True:
        async with asyncio.timeout(2):  # what is promised for a full disk
            writer.append(TOKEN)
            await writer.flush()

async def main(folder, limited):
    path, ballast = Path(folder) / "log.db", Path(folder) / "ballast"
    log = SQLiteLog(path)
    await log.start()
    await whole(log, "before", 10)
    live = await log.open("live", "ann")
    other = await log.open("other", "ann")
    other.append(TOKEN)
    await other.flush()
    reader = asyncio.create_task(read(log, "live"))
    if limited:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEBIBYTE, resource.RLIM_INFINITY))
    else:
        ballast.write_bytes(b"x" * 3 * MEBIBYTE)
    try:
        await fill(live)
    except StorageFull as error:
        assert "is full" in str(error), error
    seqs, told = await asyncio.wait_for(reader, 2)
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) > 20, seqs
    assert "is full" in told
    for call in (live.room, live.flush):
        try:
            await call()
            raise AssertionError("a failed writer went on")
        except StorageFull:
            pass
    assert (await read(log, "before"))[0] == list(range(1, 12))
    assert (await read(log, "live")) == (seqs, told)
    await live.close()
    assert await log.orphans() == ["live"]
    if limited:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        ballast.unlink()
    await whole(log, "after", 10)
    assert (await read(log, "after"))[0] == list(range(1, 12))
    other.append(END)  # nothing of it was in the failed batch
    await other.close()
    heir = await log.adopt("live")
    died = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=len(seqs)))
    assert heir.append(died) == len(seqs) + 1
    await heir.close()
    assert await read(log, "live") == (seqs + [len(seqs) + 1], None)
    await log.aclose()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print("held")

asyncio.run(main(sys.argv[1], sys.argv[2] == "limit"))
"""


def _outcome(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    assert _outcome([sys.executable, "-c", PROGRAM, str(tmp_path), "limit"]) == "held\n"


@pytest.mark.root
def test_a_full_disk(tmp_path: Path) -> None:
    program, disk = tmp_path / "program.py", tmp_path / "disk"
    program.write_text(PROGRAM)
    disk.mkdir()
    in_a_namespace = f"mount -t tmpfs -o size=8m none {disk} && exec {sys.executable} {program} {disk} disk"
    assert _outcome(["unshare", "--mount", "sh", "-c", in_a_namespace]) == "held\n"
