"""The Redis log where Redis, the way to it, or a process fails: no silent loss, and nothing is said twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Said, Trial

from ragstream.errors import LeaseLost, NotFound, StorageFull, StoreError
from ragstream.events import EventType, Interrupted, StreamEvent, TextDelta, encode
from ragstream.streamlog import Record
from ragstream.streamlog import _redis_store as store
from ragstream.streamlog.redis import RedisLog

pytestmark = pytest.mark.redis

DEADLINE = 60.0  # seconds for one test
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")
INTERRUPTED = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=0))

MakeRedis = Callable[..., Any]


@asynccontextmanager
async def running(
    url: str, prefix: str = "test", *, patience: float = DEADLINE, **settings: Any
) -> AsyncIterator[RedisLog]:
    """Run one process's log."""
    log = RedisLog(url, prefix=prefix, **settings)
    async with asyncio.timeout(patience):
        await log.start()
        try:
            yield log
        finally:
            await log.aclose()


def delta(content: object) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=str(content)))


async def read(log: RedisLog, stream_id: str, after: int = 0) -> list[Record]:
    async with aclosing(log.read(stream_id, after)) as batches:
        return [record async for batch in batches for record in batch]


async def read_until(log: RedisLog, stream_id: str, count: int) -> list[Record]:
    records: list[Record] = []
    async with aclosing(log.read(stream_id)) as batches:
        while len(records) < count:
            records += await anext(batches)
    return records


async def until(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110 - another process does not tell us
        await asyncio.sleep(0.01)


async def until_stored(log: RedisLog, stream_id: str, last: int) -> None:
    while (status := await log.status(stream_id)) is None or status.last_seq < last:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def until_orphaned(log: RedisLog, stream_id: str) -> None:
    while stream_id not in await log.orphans():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


_KEEP = """
local kept = redis.call('XRANGE', KEYS[1], '-', ARGV[1])
redis.call('DEL', KEYS[1])
for _, entry in ipairs(kept) do redis.call('XADD', KEYS[1], entry[1], unpack(entry[2])) end
return #kept
"""


def forget_tail(server: Any, stream_id: str, *, after: int) -> None:
    """Make Redis forget the newest events, as a failover to a replica that lags does."""
    assert server.ask("EVAL", _KEEP, "1", f"test:events:{stream_id}", f"{after}-0") == f":{after}"
    server.ask("HSET", f"test:log:{stream_id}", "last", str(after))


def check(records: list[Record], events: int, trial: Trial | None = None) -> None:
    """The log is what was said: so many deltas and an end, once each, in order."""
    trial = trial or Trial("", "")
    words = [delta(number) for number in range(events)]
    trial.case(
        [Said(record.seq, record.type, record.data) for record in records],
        [Said(seq, event.type, encode(event)) for seq, event in enumerate([*words, END], 1)],
    )


class Proxy:
    """Stands between a log and Redis, and can swallow a reply."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.swallowing = 0  # how many replies are still to be swallowed
        self.swallowed = 0
        self.late = 0.0  # seconds for which a reply is held back
        self.url = ""
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.create_task(self._up(reader, forth))
        try:
            while data := await back.read(1 << 16):
                if self.swallowing and up.get_name() == "append":
                    self.swallowing -= 1
                    self.swallowed += 1
                    return
                await asyncio.sleep(self.late)
                writer.write(data)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            up.cancel()
            forth.close()
            writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                me.set_name("append" if b"\r\nappend\r\n" in data else "other")
                writer.write(data)


@pytest.mark.trial("T07", "the reply to an append is lost")
async def test_a_lost_reply_is_not_a_lost_event_nor_a_second_one(
    redis_server: Any, tmp_path: Path, trial: Trial
) -> None:
    prefix = str(tmp_path)
    async with (
        Proxy(redis_server.port) as proxy,
        running(proxy.url, prefix) as here,
        running(redis_server.url, prefix) as there,
    ):
        writer = await here.open("s", "ann")
        reading = asyncio.create_task(read(there, "s")), asyncio.create_task(read(here, "s"))
        for number in range(200):
            proxy.swallowing = number % 10 == 0
            writer.append(delta(number))
            await writer.flush()
        proxy.swallowing = 1
        writer.append(END)
        await writer.close()
        assert proxy.swallowed > 10
        for records in await asyncio.gather(*reading):
            check(records, 200, trial)


@pytest.mark.trial("T07", "all connections to Redis are killed, again and again")
async def test_all_connections_are_killed_again_and_again(make_redis: MakeRedis, trial: Trial) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        readers = [asyncio.create_task(read(there, "s")) for _ in range(5)]
        for number in range(500):
            if number % 25 == 0:
                server.ask("CLIENT", "KILL", "TYPE", random.choice(["normal", "pubsub"]))
            writer.append(delta(number))
            await writer.room()
            await asyncio.sleep(0.001)
        writer.append(END)
        await writer.close()
        for records in await asyncio.gather(*readers):
            check(records, 500, trial)


async def test_a_doorbell_that_never_rings_is_not_missed(
    redis_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        running(redis_server.url, str(tmp_path)) as here,
        running(redis_server.url, str(tmp_path)) as there,
    ):
        monkeypatch.setattr(there._bell, "_on_ring", lambda *_: None)
        stopped = asyncio.Event()
        writer = await here.open("s", "ann", stop=lambda _: stopped.set())
        reader = asyncio.create_task(read(there, "s"))
        writer.append(delta(0))
        await writer.flush()
        monkeypatch.setattr(here._bell, "_on_ring", lambda *_: None)
        await there.cancel("s", "bob")
        await stopped.wait()  # the beat brings it
        writer.append(END)
        await writer.close()
        check(await reader, 1)


@pytest.mark.trial("T07", "Redis is killed and comes back: with its file, and without")
@pytest.mark.parametrize("persistence", ["always", "everysec", "none"])
async def test_redis_is_killed_and_comes_back(make_redis: MakeRedis, persistence: str, trial: Trial) -> None:
    server = make_redis(persistence=persistence)
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        quiet = await here.open("quiet", "ann")  # says nothing more: its beat must notice
        quiet.append(delta(0))
        await quiet.flush()
        readers = [asyncio.create_task(read(log, "s")) for log in (here, there, there)]
        for number in range(300):
            writer.append(delta(number))
            await writer.flush()
            if number in (100, 200):
                server.kill()
                server.start()
        await until_stored(there, "quiet", 1)
        writer.append(END)
        quiet.append(END)
        for one in (writer, quiet):
            await one.close()
        for records in await asyncio.gather(*readers):
            check(records, 300, trial)
        check(await read(there, "quiet"), 1, trial)


@pytest.mark.trial("T07", "FLUSHALL in the middle of an answer")
async def test_everything_is_flushed_in_the_middle(make_redis: MakeRedis, trial: Trial) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        ended = await here.open("ended", "ann")
        ended.append(END)
        await ended.close()
        here._own._resting.clear()  # it ended long ago
        writer = await here.open("s", "ann")
        reader = asyncio.create_task(read(there, "s"))
        for number in range(20):
            writer.append(delta(number))
        await writer.flush()
        assert server.ask("FLUSHALL") == "+OK"
        await until_stored(there, "s", 20)
        assert await there.status("ended") is None
        writer.append(END)
        await writer.close()
        check(await reader, 20, trial)
        check(await read(there, "s"), 20, trial)


@pytest.mark.trial("T08", "Redis loses the newest events, as a failover does")
async def test_a_lost_tail_is_said_anew(make_redis: MakeRedis, trial: Trial) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        reader = asyncio.create_task(read(there, "s"))
        for number in range(10):
            writer.append(delta(number))
        await writer.flush()
        forget_tail(server, "s", after=4)
        writer.append(delta(10))
        await writer.flush()
        check_tail = await read_until(there, "s", 11)
        assert [record.seq for record in check_tail] == list(range(1, 12))
        forget_tail(server, "s", after=7)
        await until_stored(there, "s", 11)
        writer.append(END)
        await writer.close()
        check(await reader, 11, trial)


async def test_an_end_that_is_lost_is_said_anew(make_redis: MakeRedis) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        writer.append(delta(0))
        writer.append(END)
        await writer.close()
        forget_tail(server, "s", after=1)
        server.ask("HDEL", "test:log:s", "type")
        check(await read(there, "s"), 1)


async def test_events_that_were_read_and_cannot_be_said_anew_are_missed_aloud(make_redis: MakeRedis) -> None:
    """The writer is gone with the tail, and its heir knows less than a reader has read."""
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there, running(server.url) as heir:
        writer = await here.open("s", "ann")
        reader = asyncio.create_task(read(there, "s"))
        for number in range(10):
            writer.append(delta(number))
        await writer.flush()
        await read_until(there, "s", 10)
        await writer.close()
        forget_tail(server, "s", after=4)
        end = await heir.adopt("s")
        assert end.append(INTERRUPTED) == 5
        await end.close()
        with pytest.raises(StoreError, match="were lost"):
            await reader
        assert [record.seq for record in await read(there, "s")] == [1, 2, 3, 4, 5]


async def test_a_log_that_nobody_makes_anew_is_gone_for_its_readers(make_redis: MakeRedis) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        writer.append(delta(0))
        await writer.close()
        reader = asyncio.create_task(read(there, "s"))
        await read_until(there, "s", 1)
        server.ask("FLUSHALL")
        with pytest.raises(NotFound):
            await reader


@pytest.mark.trial("T07", "Redis stands still for three seconds")
async def test_a_stall_that_is_short_loses_nothing(make_redis: MakeRedis, trial: Trial) -> None:
    server = make_redis()
    async with running(server.url) as here, running(server.url) as there:
        writer = await here.open("s", "ann")
        reader = asyncio.create_task(read(there, "s"))
        writer.append(delta(0))
        await writer.flush()
        server.signal(signal.SIGSTOP)
        writer.append(delta(1))
        flushing = asyncio.create_task(writer.flush())
        await asyncio.sleep(3)
        assert not flushing.done()
        server.signal(signal.SIGCONT)
        await flushing
        assert await there.orphans() == []
        writer.append(END)
        await writer.close()
        check(await reader, 2, trial)


@pytest.mark.trial("T07", "Redis stands still for longer than the log waits")
async def test_a_stall_that_is_long_fails_and_is_settled(
    make_redis: MakeRedis, monkeypatch: pytest.MonkeyPatch, trial: Trial
) -> None:
    monkeypatch.setattr(store, "_WRITING_PATIENCE", 1.0)
    monkeypatch.setattr(store, "_READING_PATIENCE", 1.0)
    server = make_redis()
    async with running(server.url, lease=1.0) as here, running(server.url, lease=1.0) as there:
        writer = await here.open("s", "ann")
        writer.append(delta(0))
        await writer.flush()
        reader = asyncio.create_task(read(here, "s"))
        server.signal(signal.SIGSTOP)
        writer.append(delta(1))
        with pytest.raises(StoreError, match="cannot be reached") as failed:
            await writer.flush()
        assert failed.value.code == "store_unavailable"
        with pytest.raises(StoreError, match="cannot be reached"):
            await reader
        with pytest.raises(StoreError):
            await there.status("s")
        with pytest.raises(StoreError):
            await here.open("t", "ann")
        await writer.close()
        server.signal(signal.SIGCONT)
        with suppress(StoreError):
            await there.status("s")
        await until_orphaned(there, "s")
        heir = await there.adopt("s")
        seq = heir.append(INTERRUPTED)
        await heir.close()
        assert [record.seq for record in await read(here, "s")] == list(range(1, seq + 1))
        trial.cases += 1


@pytest.mark.trial("T07", "Redis has no memory left")
async def test_no_memory_left(make_redis: MakeRedis, trial: Trial) -> None:
    server = make_redis()
    async with running(server.url, lease=1.0) as log:
        writer = await log.open("s", "ann")
        writer.append(delta(0))
        await writer.flush()
        server.ask("CONFIG", "SET", "maxmemory", "1")
        writer.append(delta("x" * 100_000))
        with pytest.raises(StorageFull, match="maxmemory") as failed:
            await writer.flush()
        assert failed.value.code == "storage_full"
        with pytest.raises(StorageFull):
            await log.open("t", "ann")
        await writer.close()
        assert (await read_until(log, "s", 1))[0].event == delta(0)
        server.ask("CONFIG", "SET", "maxmemory", "0")
        await until_orphaned(log, "s")
        heir = await log.adopt("s")
        assert heir.append(INTERRUPTED) == 2
        await heir.close()
        trial.cases += 1


async def test_redis_that_throws_keys_away_is_no_place_for_a_log(make_redis: MakeRedis) -> None:
    server = make_redis(options=[("maxmemory-policy", "allkeys-lru")])
    async with running(server.url) as log:
        missing = await log.missing()
        assert missing is not None
        assert "maxmemory-policy is allkeys-lru" in missing
        server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        assert await log.missing() is None


@pytest.mark.trial("T16", "callers cancelled at random, over a line that is 50 ms late")
@pytest.mark.parametrize("cancels", [1000, pytest.param(20_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(600)
async def test_cancelled_callers_never_get_the_reply_of_another(
    make_redis: MakeRedis, trial: Trial, cancels: int
) -> None:
    server, dice = make_redis(), random.Random(SEED)
    async with (
        Proxy(server.port) as proxy,
        running(server.url, patience=500) as here,
        running(proxy.url, patience=500) as there,
    ):
        for number in range(20):
            await here.open(f"s{number}", f"owner{number}")
        wrong: list[object] = []
        answered = 0

        async def ask(number: int) -> None:
            nonlocal answered
            status = await there.status(f"s{number}")
            answered += 1
            if status is None or (status.stream_id, status.owner) != (f"s{number}", f"owner{number}"):
                wrong.append(status)

        proxy.late = 0.05
        while trial.cases < cancels:
            tasks = [asyncio.create_task(ask(dice.randrange(20))) for _ in range(120)]
            for task in tasks[:100]:
                asyncio.get_running_loop().call_later(dice.uniform(0, 0.15), task.cancel)
            await asyncio.wait(tasks)
            trial.cases += sum(task.cancelled() for task in tasks)
        assert wrong == [], f"SEED={SEED}"
        assert answered >= cancels // 5, "who was not cancelled was answered"


PRODUCER = """
import asyncio, sys
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.errors import LeaseLost, StoreError
from ragstream.streamlog.redis import RedisLog

async def produce(log, name):
    writer = await log.open(name, "ann")
    number = 0
    try:
        while True:
            writer.append(StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=str(number))))
            number += 1
            await writer.flush()
            print(f'{{"seq": {number}}}', flush=True)
            await asyncio.sleep(0.01)
    except StoreError as error:
        print(f'{{"error": "{type(error).__name__}"}}', flush=True)

async def read(log, name):
    last = None
    async for batch in log.read(name):
        last = batch[-1].type
    print(f'{{"read": "{last}"}}', flush=True)

async def main():
    log = RedisLog(sys.argv[1], prefix=sys.argv[2], lease=1.0)
    await log.start()
    producing = asyncio.create_task(produce(log, "s"))
    while "s" not in log._own:
        await asyncio.sleep(0)
    await asyncio.gather(producing, read(log, "s"))
    await log.aclose()

asyncio.run(main())
"""


@asynccontextmanager
async def producer(url: str, prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process that writes to the log ``s`` and reads it, and tells what it sees."""
    arguments = ["-c", PRODUCER, url, prefix]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process, what: str) -> Any:
    assert process.stdout is not None
    async for line in process.stdout:
        if what in (said := json.loads(line)):
            return said[what]
    raise AssertionError(f"it never told {what}")


async def all_told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The last that it told of each matter, until it ended, in whatever order it told them."""
    assert process.stdout is not None
    return {what: value async for line in process.stdout for what, value in json.loads(line).items()}


@pytest.mark.trial("T06", "a process is held up until its answer is settled, and goes on")
async def test_a_zombie_writes_nothing_and_reads_how_its_answer_ended(
    redis_server: Any, tmp_path: Path, trial: Trial
) -> None:
    url, prefix = redis_server.url, str(tmp_path)
    async with running(url, prefix, lease=1.0) as log, producer(url, prefix) as zombie:
        while await told(zombie, "seq") < 20:
            pass
        reader = asyncio.create_task(read(log, "s"))
        zombie.send_signal(signal.SIGSTOP)
        await until_orphaned(log, "s")
        heir = await log.adopt("s")
        last = heir.append(INTERRUPTED)
        await heir.close()
        zombie.send_signal(signal.SIGCONT)
        end = await all_told(zombie)
        assert (end["error"], end["read"]) == (LeaseLost.__name__, "interrupted")
        assert await zombie.wait() == 0
        records = await reader
        assert [record.seq for record in records] == list(range(1, last + 1))
        assert [record.type for record in records].count("interrupted") == 1
        assert await read(log, "s") == records
        trial.cases += 1


async def test_the_logs_of_a_killed_process_are_orphans(redis_server: Any, tmp_path: Path) -> None:
    url, prefix = redis_server.url, str(tmp_path)
    async with running(url, prefix, lease=1.0) as log, producer(url, prefix) as process:
        seq = await told(process, "seq")
        status = await log.status("s")
        assert status is not None
        assert (status.state, await log.orphans()) == ("live", [])
        with pytest.raises(LeaseLost):
            await log.adopt("s")
        process.kill()
        await until_orphaned(log, "s")
        status = await log.status("s")
        assert status is not None
        assert status.last_seq >= seq
        async with running(url, prefix, lease=30.0) as newcomer:  # takes nobody for dead yet
            assert await newcomer.orphans() == []
            with pytest.raises(LeaseLost):
                await newcomer.adopt("s")
        heir = await log.adopt("s")
        assert heir.append(INTERRUPTED) == status.last_seq + 1
        await heir.close()


async def test_who_was_away_takes_nobody_for_dead(make_redis: MakeRedis) -> None:
    """After Redis forgot, all processes renew their leases at their own time."""
    server = make_redis()
    async with running(server.url, lease=1.0) as here, running(server.url, lease=1.0) as there:
        writer = await here.open("s", "ann")
        await until(lambda: there._lease.steady)
        await here._lease.aclose()  # its beat is late
        server.ask("DEL", "test:leases")
        await there._lease._renew()
        assert await there.orphans() == []
        await until_orphaned(there, "s")  # until it has been silent for too long
        await (await there.adopt("s")).close()
        writer.append(delta(0))
        with pytest.raises(LeaseLost):
            await writer.flush()
