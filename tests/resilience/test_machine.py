"""Whatever happens, in whatever order: readers have read the log, it has one end, and the history agrees.

A machine of states, driven by Hypothesis: answers are asked for, said by hand, ended and stopped; readers
join, drop the line and come back, at any process; processes are killed, ended and started; logs are deleted.
Each process is a real one. ``SEED=…`` repeats a run; ``TRIAL_SEQUENCES`` says how many a long one has.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.resilience import talking_server
from tests.resilience.crowd import Crowd, Member
from tests.trial import TERMINAL, Said, Trial

T = TypeVar("T")
PATIENCE = 60.0
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
MANY = int(os.environ.get("TRIAL_SEQUENCES", 300))
LARGE = st.integers(0, 1_000_000)  # chooses among what there is at that moment
STATUS = {"message_complete": "complete", "interrupted": "interrupted", "cancelled": "cancelled"}
forging = get_context("forkserver")
forging.set_forkserver_preload(["tests.resilience.talking_server"])


@dataclass
class Reader:
    """Who reads one answer, over one connection after the other."""

    had: list[Said] = field(default_factory=list)
    member: Member | None = None

    @property
    def read(self) -> list[Said]:
        """What was read, but not what is told again, without seqs, to who has an interrupted answer whole."""
        events = self.had + (self.member.events if self.member else [])
        end = next((at for at, event in enumerate(events) if event.type in TERMINAL), len(events))
        again = events[end + 1 :]
        told_again = again and again[0].type == "reset" and not any(event.seq for event in again)
        return events[: end + 1] if told_again else events

    def drop(self) -> None:
        if self.member is not None:
            self.member.cut()
            self.had, self.member = self.read, None


@dataclass
class Life:
    """One answer."""

    name: str
    home: int  # the process that writes it
    stream_id: str
    session_id: str
    said: int = 0  # words
    over: bool = False  # it was ended, stopped, or lost its process
    lost: bool = False  # with a log that is gone
    forgotten: bool = False  # with the process that alone knew of it
    readers: list[Reader] = field(default_factory=list)


class Process:
    """One server process, or the place of one."""

    def __init__(self, folder: str | None, redis: tuple[str, str] | None) -> None:
        ours, theirs = forging.Pipe()
        self._process = forging.Process(target=talking_server.talk, args=(folder, redis, theirs.send))
        self._process.start()
        theirs.close()
        assert ours.poll(PATIENCE), "the server did not start"
        self.crowd = Crowd(ours.recv())
        ours.close()

    def end(self, *, kill: bool) -> None:
        self._process.kill() if kill else self._process.terminate()
        self._process.join(PATIENCE)
        assert self._process.exitcode == (-9 if kill else 0)
        self._process.close()


class Machine(RuleBasedStateMachine):
    """One history."""

    def __init__(self, folder: Path | None, redis: tuple[str, str] | None, trial: Trial) -> None:
        super().__init__()
        self._folder = str(folder) if folder else None
        self._redis = redis
        self._trial = trial
        self._runner = asyncio.Runner()
        self._lives: list[Life] = []
        self._places: list[Process | None] = [self._start() for _ in range(2 if redis else 1)]

    def _start(self) -> Process:
        return Process(self._folder, self._redis)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE):
                return await work

        return self._runner.run(bounded())

    def _one_up(self, which: int) -> int:
        up = [number for number, process in enumerate(self._places) if process]
        return up[which % len(up)]

    def _crowd(self, number: int) -> Crowd:
        process = self._places[number]
        assert process is not None
        return process.crowd

    def _life(self, which: int) -> Life:
        return self._lives[which % len(self._lives)]

    def any_up(self) -> bool:
        return any(self._places)

    def any_life(self) -> bool:
        return bool(self._lives) and any(self._places)

    @precondition(any_up)
    @rule(which=LARGE)
    def ask(self, which: int) -> None:
        home, name = self._one_up(which), f"answer{len(self._lives)}"

        async def begin() -> Member:
            member = await self._crowd(home).ask(name=name)
            await member.until(lambda one: bool(one.events))
            return member

        member = self._run(begin())
        found = re.search(rb"(?i)\r\nx-session-id: (\w+)", member.received)
        assert found is not None
        life = Life(name, home, member.stream_id, found[1].decode(), readers=[Reader(member=member)])
        self._lives.append(life)

    @precondition(any_life)
    @rule(which=LARGE, count=st.integers(1, 8))
    def say(self, which: int, count: int) -> None:
        life = self._life(which)
        if not life.over:
            life.said += count
            self._run(self._crowd(life.home).get(f"/say/{life.name}/{count}"))

    @precondition(any_life)
    @rule(which=LARGE)
    def end(self, which: int) -> None:
        life = self._life(which)
        if not life.over:
            self.end_life(life)

    @precondition(any_life)
    @rule(which=LARGE, at=LARGE)
    def stop(self, which: int, at: int) -> None:
        life = self._life(which)
        life.over = True
        self._run(self._crowd(self._one_up(at)).post(f"/api/v1/streams/{life.stream_id}/cancel"))

    @precondition(any_life)
    @rule(which=LARGE)
    def read_on(self, which: int) -> None:
        """Wait until a reader has every word, if nothing can keep it from them."""
        life = self._life(which)
        for reader in life.readers:
            if reader.member and not reader.member.lost.done() and not life.over:
                self._run(self._has_all(life, reader, reader.member))

    async def _has_all(self, life: Life, reader: Reader, member: Member) -> None:
        await member.until(lambda _: len(_deltas(reader.read)) >= life.said)

    @precondition(any_life)
    @rule(which=LARGE, who=LARGE)
    def drop(self, which: int, who: int) -> None:
        readers = self._life(which).readers
        readers[who % len(readers)].drop()

    @precondition(any_life)
    @rule(which=LARGE, who=LARGE, at=LARGE)
    def come_back(self, which: int, who: int, at: int) -> None:
        life = self._life(which)
        if not life.lost:
            self._come_back(life, life.readers[who % len(life.readers)], at)

    @precondition(any_life)
    @rule(which=LARGE, at=LARGE)
    def join(self, which: int, at: int) -> None:
        life = self._life(which)
        if not life.lost:
            life.readers.append(Reader())
            self._come_back(life, life.readers[-1], at)

    def _come_back(self, life: Life, reader: Reader, at: int) -> None:
        """Let the line go, and read on from the cursor."""
        reader.drop()
        crowd = self._crowd(self._one_up(at))
        reader.member = self._run(crowd.follow(life.stream_id, len(reader.had)))

    @precondition(any_up)
    @rule(which=LARGE, kill=st.booleans())
    def lose_process(self, which: int, kill: bool) -> None:
        number = self._one_up(which)
        process, self._places[number] = self._places[number], None
        assert process is not None
        process.end(kill=kill)
        self._run(asyncio.sleep(0))  # the lines tell of it
        for life in self._lives:
            life.over = life.over or life.home == number
            if self._folder is None:
                life.lost = life.forgotten = True

    @rule()
    def start_process(self) -> None:
        self._places = [process or self._start() for process in self._places]

    @precondition(any_life)
    @rule(which=LARGE)
    def delete(self, which: int) -> None:
        """Delete the log of an answer that has ended, as its retention would."""
        life = self._life(which)
        if life.over and not life.lost:
            self.start_process()
            self._read_all(life)
            life.lost = True
            self._run(self._crowd(0).get(f"/delete/{life.stream_id}"))
            self._tell_loss(life)

    def teardown(self) -> None:
        try:
            self.start_process()
            for life in self._lives:
                if not life.lost:
                    self.end_life(life)
                    self._read_all(life)
                elif self._folder is None:
                    self._tell_loss(life)
        finally:
            for reader in [reader for life in self._lives for reader in life.readers]:
                reader.drop()
            self._run(asyncio.sleep(0))
            for process in filter(None, self._places):
                process.end(kill=True)
            self._runner.close()

    def end_life(self, life: Life) -> None:
        if not life.over:
            life.over = True
            life.said += 1  # without a word it would be a failure
            for path in (f"/say/{life.name}/1", f"/end/{life.name}"):
                self._run(self._crowd(life.home).get(path))

    def _read_all(self, life: Life) -> None:
        """Let everybody read to the end, and compare with who was never disturbed, and with the history."""
        whole = self._to_the_end(life, Reader())
        text = "".join(json.loads(event.data)["text_delta"]["content"] for event in _deltas(whole))
        for reader in life.readers:
            self._trial.case(self._to_the_end(life, reader), whole, f"SEED={SEED}")
        crowd = self._crowd(0)
        reply = self._run(crowd.get(f"/api/v1/chatbot/messages?session_id={life.session_id}"))
        message = json.loads(reply)["messages"][-1]
        assert (message["content"], message["status"]) == (text, STATUS[whole[-1].type]), f"SEED={SEED}"

    def _to_the_end(self, life: Life, reader: Reader) -> list[Said]:
        if reader.member is None or not reader.member.ended:
            self._come_back(life, reader, life.said)
        member = reader.member
        assert member is not None
        self._run(member.until(lambda one: one.ended or b"HTTP/1.1 204" in one.received))
        events = reader.read
        reader.drop()
        return events

    def _tell_loss(self, life: Life) -> None:
        """A log that is gone is told aloud: the whole of the stored text, or an error, never silence."""
        for reader in life.readers:
            self._come_back(life, reader, 0)
            member = reader.member
            assert member is not None
            self._run(member.live)  # type: ignore[arg-type]
            if life.forgotten:
                assert member.received.startswith(b"HTTP/1.1 404"), f"SEED={SEED}"
            else:
                self._run(member.until(lambda one: one.ended))
                assert member.events[0].type == "reset", f"SEED={SEED}"
                assert member.events[-1].type in STATUS, f"SEED={SEED}"
            reader.drop()
            self._trial.cases += 1


def _deltas(events: list[Said]) -> list[Said]:
    return [event for event in events if event.type == "text_delta"]


@pytest.mark.trial("T31", "a machine of states: ask, say, stop, drop, resume, kill, restart, delete")
@pytest.mark.parametrize("sequences", [4, pytest.param(MANY, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("backend", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
@pytest.mark.timeout(3600)
def test_histories(
    tmp_path: Path, request: pytest.FixtureRequest, trial: Trial, backend: str, sequences: int
) -> None:
    url = request.getfixturevalue("redis_server").url if backend == "redis" else None
    histories = iter(range(1 << 30))

    def begin() -> Machine:
        number = next(histories)
        folder = None if backend == "memory" else tmp_path / str(number)
        return Machine(folder, (url, f"{tmp_path}:{number}") if url else None, trial)

    run_state_machine_as_test(
        seed(SEED)(begin),  # type: ignore[arg-type]  # what makes a machine is enough
        settings=settings(
            max_examples=sequences,
            stateful_step_count=25,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
            database=None,
        ),
    )
    trial.measure(**{f"sequences_{backend}": next(histories)})
