"""Very many readers of one process: kept while they wait, served when they return; they leave no trace."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from tests.resilience.crowd import PATIENCE, Crowd, Member, TalkingServer, raise_file_limit, talking
from tests.trial import Trial

HEARTBEAT = 10.0  # seconds, as it is set without settings
IDLE_SECONDS = float(os.environ.get("TRIAL_IDLE_SECONDS", 600))
MIB = 1024**2
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))


@pytest.fixture(autouse=True)
def files() -> None:
    if not raise_file_limit(12_000):
        pytest.skip("needs 12,000 open files: ulimit -Hn")


def worst_of_a_hundred(values: Sequence[float]) -> str:
    """Return the 99th percentile of durations, in milliseconds."""
    return f"{sorted(values)[len(values) * 99 // 100] * 1000:.0f} ms" if values else "none"


async def kept_waiting(server: TalkingServer, seconds: float) -> list[float]:
    """Let the time pass; return how long the server took to say that it is well, each second."""
    clock, took = asyncio.get_running_loop().time, list[float]()
    end = clock() + seconds
    while clock() < end:
        began = clock()
        assert "ok" in await server.crowd.get("/healthz")
        took.append(clock() - began)
        await asyncio.sleep(max(0, 1 - took[-1]))
    return took


def lateness(members: Sequence[Member], since: float) -> list[float]:
    """Return by how much heartbeats were late since a moment, each after what came before it."""
    both = ((former, later) for one in members for former, later in pairwise(one.times))
    return [later - former - HEARTBEAT for former, later in both if former > since]


async def check_each(server: TalkingServer, members: Sequence[Member], trial: Trial) -> None:
    """Compare what each has read with the log as another reads it."""
    for member in members:
        whole = await server.crowd.follow(member.stream_id)
        await until_ended([whole])
        trial.case(member.events, whole.events)
        whole.cut()


@pytest.mark.trial("T14", "answers under way that say nothing, all in one process")
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(IDLE_SECONDS + 900)
async def test_idle_streams(tmp_path: Path, trial: Trial, count: int) -> None:
    with talking(tmp_path / "data") as server:
        for member in await Crowd.all_of(server.crowd.ask(words=2) for _ in range(100)):
            await until_ended([member])
            member.cut()
        base = await server.facts_at_rest()
        waves = [f"wave{number}" for number in range(count // 100)]  # in which they end, not all at once
        asking = (server.crowd.ask(words=2, wait=wave) for wave in waves for _ in range(100))
        members = await Crowd.all_of(asking, at_once=50)
        trial.say(f"{count:,} streams are open")
        began = time.monotonic()
        well = await kept_waiting(server, 1.0 if count < 10_000 else IDLE_SECONDS)
        dropped = sum(member.lost.done() for member in members)
        late = lateness(members, began)  # before they are asked to say more
        full = server.facts()  # only now, for it looks at all that is there, and nothing moves meanwhile
        for number, wave in enumerate(waves):
            await server.crowd.get(f"/open/{wave}")
            await until_ended(members[number * 100 : (number + 1) * 100])
        await check_each(server, members, trial)
        for member in members:
            member.cut()
        after = await server.facts_at_rest()
    assert dropped == 0
    assert_nothing_is_left(base, after)
    if count == 10_000:
        trial.measure(
            seconds_idle=f"{IDLE_SECONDS:.0f}",
            memory_per_stream=f"{(full['rss'] - base['rss']) / count / 1024:.1f} KB",
            memory_afterwards=f"{after['rss'] / base['rss']:.2f} of before",
            heartbeat_late_p99=worst_of_a_hundred(late),
            healthz_p99=worst_of_a_hundred(well),
        )


def assert_nothing_is_left(base: dict[str, int], after: dict[str, int]) -> None:
    assert after["tasks"] <= base["tasks"], f"SEED={SEED}"
    assert after["files"] <= base["files"], f"SEED={SEED}"


async def until_ended(members: Sequence[Member]) -> None:
    for member in members:
        await member.until(lambda one: one.ended)


@pytest.mark.trial("T24", "readers who come back in the same second")
@pytest.mark.parametrize("count", [250, pytest.param(5_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
async def test_everybody_comes_back_at_once(tmp_path: Path, trial: Trial, count: int) -> None:
    clock = asyncio.get_running_loop().time
    with talking(tmp_path / "data") as server:
        askers = await Crowd.all_of(server.crowd.ask(words=20, wait="all") for _ in range(count // 50))
        streams = [member.stream_id for member in askers for _ in range(50)]
        readers = await Crowd.all_of(server.crowd.follow(stream_id) for stream_id in streams)
        for reader in readers:
            await reader.until(lambda one: len(one.events) >= 20)
        for reader in readers:
            reader.cut()
        began = clock()
        returned = await Crowd.all_of(
            (server.crowd.follow(reader.stream_id, len(reader.events)) for reader in readers), at_once=count
        )
        seconds = clock() - began
        facts = server.facts()
        await server.crowd.get("/open/all")
        await until_ended(returned + askers)
        logs = {asker.stream_id: asker.events for asker in askers}
        for first, second in zip(readers, returned, strict=True):
            trial.case(first.events + second.events, logs[first.stream_id])
            second.cut()
        for asker in askers:
            asker.cut()
    assert facts["asked"] == len(askers), "coming back is no question"
    assert facts["rss"] < 1024 * MIB
    if count == 5000:
        trial.measure(all_live_after=f"{seconds:.1f} s", memory=f"{facts['rss'] / MIB:.0f} MiB")


@pytest.mark.trial("T14", "answers that all end in the same instant")
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
async def test_everybody_ends_at_once(tmp_path: Path, trial: Trial, count: int) -> None:
    clock, data = asyncio.get_running_loop().time, tmp_path / "data"
    with talking(data) as server:
        asking = (server.crowd.ask(words=2, wait="all") for _ in range(count))
        members = await Crowd.all_of(asking, at_once=50)
        for member in members:
            await member.until(lambda one: bool(one.late))  # it has said its first word
        began = clock()
        await server.crowd.get("/open/all")
        await until_ended(members)
        seconds = clock() - began
        for member in members:
            assert member.events[-1].type == "message_complete", member.body[-300:]
            trial.cases += 1
            member.cut()
    with closing(sqlite3.connect(data / "app.db")) as database:
        stored = dict(database.execute("SELECT stream_id, status FROM turns"))
    assert stored == {member.stream_id: "complete" for member in members}
    if count == 10_000:
        trial.measure(all_ended_after=f"{seconds:.1f} s")


@pytest.mark.trial("T15", "clients who connect, and drop the line at a random moment")
@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(5400)
async def test_churn(tmp_path: Path, trial: Trial, count: int) -> None:
    with talking(tmp_path / "data") as server:
        whole, *others = await Crowd.all_of(server.crowd.ask(words=50) for _ in range(100))
        await until_ended([whole, *others])
        for other in others:
            other.cut()
        base, moments, sizes = await server.facts_at_rest(), dice(count), list[int]()
        for done in range(0, count, 1000):
            async with asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(come_and_go(server.crowd, whole.stream_id, moments, 20))
            trial.cases += 1000
            if done % 10_000 == 0:
                sizes.append((server.facts())["rss"])
                trial.say(f"{done + 1000:,} of {count:,} drops, {sizes[-1] / MIB:.0f} MiB")
        after = await server.facts_at_rest()
        again = await server.crowd.follow(whole.stream_id)
        await until_ended([again])
        trial.case(again.events, whole.events, f"SEED={SEED}")
        again.cut()
        whole.cut()
    assert_nothing_is_left(base, after)
    if count == 100_000:
        growth = (sizes[-1] - sizes[len(sizes) // 2]) / MIB
        trial.measure(memory_first_and_last=f"{sizes[0] / MIB:.0f} and {sizes[-1] / MIB:.0f} MiB")
        trial.measure(memory_in_the_second_half=f"{growth:+.1f} MiB")


def dice(count: int) -> Iterator[tuple[bool, int]]:
    """Yield who asks (the others follow), and after how many bytes each leaves."""
    chance = random.Random(SEED)
    for _ in range(count):
        yield chance.random() < 0.1, chance.choice([0, 1, chance.randrange(600), chance.randrange(1500)])


async def come_and_go(crowd: Crowd, stream_id: str, moments: Iterator[tuple[bool, int]], times: int) -> None:
    for _ in range(times):
        asks, leaves_after = next(moments)
        if asks:
            member = await crowd.ask(leaves_after=leaves_after, words=20, pause=0.001)
        else:
            member = await crowd.follow(stream_id, leaves_after=leaves_after)
        if not leaves_after:
            member.cut()
        async with asyncio.timeout(PATIENCE):
            await member.lost


@pytest.mark.nightly
@pytest.mark.trial("T13", "readers that never read, or a byte a second, beside 50 that read")
@pytest.mark.timeout(600)
async def test_stuck_beside_normal(tmp_path: Path, trial: Trial) -> None:
    with talking(tmp_path / "data") as server:
        order = {"words": 5000, "size": 1000, "pause": 0.008}
        (asker,) = await Crowd.all_of([server.crowd.ask(**order)])
        normal = await Crowd.all_of(server.crowd.follow(asker.stream_id) for _ in range(50))
        await asker.until(lambda one: len(one.late) >= 500)
        before, joined = server.facts(), time.monotonic()
        stuck = [await server.crowd.stuck(asker.stream_id, reads=number % 2 == 1) for number in range(200)]
        largest = before["rss"]
        while not asker.ended:
            largest = max(largest, (server.facts())["rss"])
            await asyncio.sleep(0.5)
        await until_ended(normal)
        evicted = re.search(r"(?m)^ragstream_evictions_total (\S+)$", await server.crowd.get("/metrics"))
        for one in stuck:
            one.cancel()
        heard = [each for reader in normal for each in reader.late]
        log = asker.events
        for reader in normal:
            trial.case(reader.events, log)
    assert evicted is not None
    assert float(evicted[1]) == 200
    growth = (largest - before["rss"]) / 200
    assert growth < 2 * MIB
    trial.measure(
        evicted=200,
        memory_per_stuck_reader=f"{growth / 1024:.0f} KB",
        event_late_p99_alone=worst_of_a_hundred([late for at, late in heard if at < joined]),
        event_late_p99_beside=worst_of_a_hundred([late for at, late in heard if at >= joined]),
    )
