"""An hour of answers, fifty events a second, with a fault every half a minute: what is read is the log.

``TRIAL_SOAK_SECONDS`` makes it shorter or longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.resilience.test_workers import Reading, Server, connected, question, until
from tests.trial import TERMINAL, Trial, said

SECONDS = float(os.environ.get("TRIAL_SOAK_SECONDS", 3600))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ASKERS = 10
WISH = "100 words, 200 ms"  # ten of them: fifty events a second
FAULTS_EVERY = min(30.0, SECONDS / 10)
MAY_PASS = {429, 500, 502, 503}
PATIENCE = 120.0  # seconds for one answer to be read, whatever happens


@pytest.fixture
def model() -> Iterator[int]:
    program = str(Path(__file__).with_name("slow_model.py"))
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


class Faults:
    """What goes wrong, one thing after the other."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self._server, self._redis, self._dice = server, server.redis, dice
        self.counts: dict[str, int] = {}

    async def next(self) -> None:
        to_workers = [self.worker_killed, self.worker_ended, self.all_replaced]
        to_redis = [self.redis_killed, self.redis_held_up, self.connections_cut]
        fault = self._dice.choice([*to_workers, *to_redis])
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        await fault()

    async def worker_killed(self) -> None:
        os.kill(self._dice.choice(workers(self._server)), signal.SIGKILL)

    async def worker_ended(self) -> None:
        os.kill(self._dice.choice(workers(self._server)), signal.SIGTERM)

    async def all_replaced(self) -> None:
        replaced = self._server.said.count("worker replaced")
        self._server.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: self._server.said.count("worker replaced") > replaced)

    async def redis_killed(self) -> None:
        self._redis.kill()
        await asyncio.to_thread(self._redis.start)

    async def redis_held_up(self) -> None:
        self._redis.signal(signal.SIGSTOP)
        await asyncio.sleep(self._dice.uniform(0.5, 3))
        self._redis.signal(signal.SIGCONT)

    async def connections_cut(self) -> None:
        self._redis.ask("CLIENT", "KILL", "TYPE", self._dice.choice(["normal", "pubsub"]))


def workers(server: Server) -> list[int]:
    """Return the ids of the processes that serve: those children that are no resource tracker."""
    parent = server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    ]


def memory(server: Server) -> float:
    """Return what parent and workers hold together, in MiB."""
    pages = 0
    for pid in [server.process.pid, *workers(server)]:
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


class Patient(Reading):
    """A reader who is put off by nothing that may pass, and who drops the line now and then."""

    def __init__(self, client: httpx.AsyncClient, dice: random.Random) -> None:
        super().__init__(client)
        self._dice = dice

    async def begin(self) -> None:
        """Ask, with a key, until there is an answer."""
        key = {"idempotency-key": secrets.token_hex(8)}
        while not self.stream_id:
            asked = self._client.stream(
                "POST", "/api/v1/chatbot/chat/stream", json=question(WISH), headers=key
            )
            await self._try(asked)
        await self.go_on()

    async def read(self, stream_id: str) -> None:
        self.stream_id = stream_id
        await self.go_on()

    async def go_on(self) -> None:
        while not self.done:
            path, cursor = f"/api/v1/streams/{self.stream_id}", {"last-event-id": str(len(self.blocks))}
            await self._try(self._client.stream("GET", path, headers=cursor if self.blocks else {}))

    async def _try(self, asked: Any) -> None:
        leaves_after = self._dice.choice([1.0, 5.0, 30.0, 30.0])
        try:
            async with asyncio.timeout(leaves_after), asked as reply:
                if reply.status_code in MAY_PASS:
                    await asyncio.sleep(0.3)
                    return
                if reply.status_code == 204:
                    self.done = True
                    return
                assert reply.status_code == 200, (reply.status_code, await reply.aread())
                self.stream_id = reply.headers["x-stream-id"]
                await self._take(reply)
        except (httpx.TransportError, TimeoutError):
            await asyncio.sleep(0.05)
        self.done = self.done or any(event.type in TERMINAL for event in said(self.blocks[-1:]))


@pytest.mark.nightly
@pytest.mark.redis
@pytest.mark.trial("T32", "50 events a second, a fault every 30 seconds: workers, Redis, lines")
@pytest.mark.timeout(SECONDS + 900)
async def test_soak(make_redis: Callable[..., Any], model: int, tmp_path: Path, trial: Trial) -> None:
    redis = make_redis(persistence="everysec")
    server = Server(redis, model, tmp_path, workers=2, drain="30", log_level="info")
    dice, end = random.Random(SEED), time.monotonic() + SECONDS
    faults, sizes = Faults(server, dice), list[float]()
    try:
        async with connected(server) as client, asyncio.TaskGroup() as group:
            for _ in range(ASKERS):
                group.create_task(keep_asking(client, dice, trial, end))
            while time.monotonic() < end - FAULTS_EVERY:
                await asyncio.sleep(FAULTS_EVERY)
                await faults.next()
                sizes.append(memory(server))
                if len(sizes) % 10 == 0:
                    left, count = (end - time.monotonic()) / 60, sum(faults.counts.values())
                    trial.say(f"{left:.0f} minutes to go; {trial.cases} answers read, {count} faults")
    finally:
        code = server.stop()
    assert code == 0, server.said[-2000:]
    trial.measure(seconds=f"{SECONDS:.0f}", faults=sum(faults.counts.values()))
    half = len(sizes) // 2
    first, second = sum(sizes[:half]) / half, sum(sizes[half:]) / (len(sizes) - half)
    trial.measure(memory_in_each_half=f"{first:.0f} and {second:.0f} MiB")


async def keep_asking(client: httpx.AsyncClient, dice: random.Random, trial: Trial, end: float) -> None:
    """Ask and read to the end, again and again; then compare with another reader, who drops the line too."""
    while time.monotonic() < end:
        async with asyncio.timeout(PATIENCE):
            reader, other = Patient(client, dice), Patient(client, dice)
            await reader.begin()
            await other.read(reader.stream_id)
        trial.case(said(reader.blocks), said(other.blocks), f"SEED={SEED} {reader.stream_id}")
