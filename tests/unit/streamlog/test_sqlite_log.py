"""What the SQLite log promises beyond the contract: its file, its lock, its memory."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from ragstream.errors import ConfigError, NotFound, StoreError
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog import Record
from ragstream.streamlog.sqlite import SQLiteLog

END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


@asynccontextmanager
async def _running(path: Path, **settings: Any) -> AsyncIterator[SQLiteLog]:
    log = SQLiteLog(path, **settings)
    async with asyncio.timeout(20):
        await log.start()
        try:
            yield log
        finally:
            await log.aclose()


def _delta(content: str = "token") -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content))


async def _read(log: SQLiteLog, stream_id: str) -> list[Record]:
    async with aclosing(log.read(stream_id)) as batches:
        return [record async for batch in batches for record in batch]


async def test_a_folder_serves_one_log(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db"):
        with pytest.raises(ConfigError) as refused:
            await SQLiteLog(tmp_path / "log.db").start()
        held = f"The data directory {tmp_path} is in use by process {os.getpid()}: "
        assert str(refused.value) == held + "stop it, or choose another directory."
    async with _running(tmp_path / "log.db"):
        pass


async def test_a_folder_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    async with _running(tmp_path / "a" / "b" / "log.db"):
        assert (tmp_path / "a" / "b" / "log.db").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        await SQLiteLog(tmp_path / "file" / "log.db").start()


async def test_files_of_others_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"this is no database, but long enough to look like one" * 100)
    with pytest.raises(StoreError, match=r"is not a stream log: move it away, and a new one is begun\.$"):
        await SQLiteLog(tmp_path / "log.db").start()
    (tmp_path / "log.db").unlink()
    async with _running(tmp_path / "log.db"):
        pass


async def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="a later version of Ragstream"):
        await SQLiteLog(tmp_path / "log.db").start()


async def test_the_file_can_be_read_beside_us(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db") as log:
        writer = await log.open("s", "ann")
        writer.append(_delta("Hel"))
        await writer.flush()
        with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            rows = connection.execute(
                "SELECT seq, type, data FROM log JOIN event ON log = id WHERE stream_id = 's'"
            ).fetchall()
        assert rows == [(1, "text_delta", b'{"type":"text_delta","text_delta":{"content":"Hel"}}')]


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
async def test_commits_outlive_what_is_asked(tmp_path: Path, synchronous: str, number: int) -> None:
    async with _running(tmp_path / "log.db", synchronous=synchronous) as log:
        setting = await log._file._writer.run(lambda c: c.execute("PRAGMA synchronous").fetchone())
        assert setting == (number,)


async def test_a_long_live_log_is_read_whole_though_memory_keeps_its_end(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db") as log:
        writer = await log.open("s", "ann")
        async with aclosing(log.read("s")) as slow:
            writer.append(_delta("first"))
            read = list(await anext(slow))
            for number in range(300):
                writer.append(_delta(f"{number} {'x' * 10_000}"))
                await writer.room()
            await writer.flush()
            stream = log._open["s"]
            assert sum(len(record.data) for record in stream.since(stream.base)) <= 1024**2
            assert stream.base > 100
            writer.append(END)
            await writer.close()
            read += [record async for batch in slow for record in batch]
    assert [record.seq for record in read] == list(range(1, 303))
    assert [record.event.text_delta for record in read[1:-1]] == [
        TextDelta(content=f"{number} {'x' * 10_000}") for number in range(300)
    ]


async def test_who_keeps_up_never_asks_the_file(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db") as log:
        writer = await log.open("s", "ann")
        reader = asyncio.create_task(_read(log, "s"))
        await asyncio.sleep(0)
        asked: list[str] = []
        await log._file._reader.run(lambda connection: connection.set_trace_callback(asked.append))
        for _ in range(100):
            writer.append(_delta())
            await writer.flush()
        writer.append(END)
        await writer.close()
        assert len(await reader) == 101
        assert not [statement for statement in asked if "FROM event" in statement]
        del writer, reader  # who holds a log has its end in memory still
        assert len(await _read(log, "s")) == 101
        assert [statement for statement in asked if "FROM event" in statement]


async def test_events_that_are_gone_are_missed_aloud(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db") as log:
        writer = await log.open("s", "ann")
        for _ in range(100):
            writer.append(_delta("x" * 10_000))
            await writer.room()
        writer.append(END)
        await writer.close()
        del writer
        async with aclosing(log.read("s")) as reader:
            assert len(await anext(reader)) < 100
            with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
                other.execute("DELETE FROM event")
            with pytest.raises(NotFound):
                await anext(reader)


async def test_a_batch_that_fails_midway_is_undone(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db") as log:
        writers = [await log.open(name, "ann") for name in ("s", "t")]
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            other.execute(
                "INSERT INTO event SELECT id, 1, 'text_delta', x'00' FROM log WHERE stream_id = 's'"
            )
        for writer in writers:
            writer.append(END)
        for writer in writers:
            with pytest.raises(StoreError):
                await writer.flush()
            await writer.close()
        heir = await log.adopt("t")
        assert heir.append(END) == 1
        await heir.flush()
        await heir.close()


async def test_a_log_that_is_not_open_says_so(tmp_path: Path) -> None:
    log = SQLiteLog(tmp_path / "log.db")
    for _ in range(2):
        with pytest.raises(StoreError, match="is not open"):
            await log.open("s", "ann")
        with pytest.raises(StoreError, match="is not open"):
            await log.status("s")
        await log.start()
        await log.aclose()


async def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db", lock_timeout=20) as log:
        writer = await log.open("s", "ann")
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            writer.append(_delta())
            flushing = asyncio.create_task(writer.flush())
            for _ in range(20):
                await asyncio.sleep(0.001)  # the loop goes on
            assert not flushing.done()
            other.execute("ROLLBACK")
            await flushing


async def test_a_file_locked_for_long_fails_what_waits_and_nothing_else(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db", lock_timeout=0.05) as log:
        writer = await log.open("s", "ann")
        writer.append(_delta())
        await writer.flush()
        reader = log.read("s")
        assert len(await anext(reader)) == 1
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            writer.append(_delta())
            with pytest.raises(StoreError, match="is locked by another program"):
                await writer.flush()
            with pytest.raises(StoreError, match="is locked by another program"):
                await anext(reader)
            with pytest.raises(StoreError):
                await log.open("t", "ann")
        await writer.close()
        assert await log.orphans() == ["s"]
        heir = await log.adopt("s")
        assert heir.append(END) == 2
        await heir.close()
        assert [record.seq for record in await _read(log, "s")] == [1, 2]
        await (await log.open("t", "ann")).close()


async def test_an_open_that_is_cancelled_leaves_an_orphan_to_settle(tmp_path: Path) -> None:
    async with _running(tmp_path / "log.db", lock_timeout=20) as log:
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            opening = asyncio.create_task(log.open("s", "ann"))
            await asyncio.sleep(0.01)
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled()
        while await log.orphans() != ["s"]:  # noqa: ASYNC110 - nobody is told when it is claimed
            await asyncio.sleep(0.001)
        heir = await log.adopt("s")
        assert heir.append(END) == 1
        await heir.close()
