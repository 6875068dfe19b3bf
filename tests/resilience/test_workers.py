"""One server of several workers: any of them reads, stops and settles what another one writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import text
from tests.resilience.crowd import Crowd
from tests.trial import Said, Trial, said

from ragstream.storage.database import Database
from ragstream.storage.turns import SQLTurns

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]

DEADLINE = 120.0  # seconds for one test, on a busy machine
DONE = b"event: done\ndata: {}\n\n"
TERMINAL = re.compile(r"^event: (message_complete|failed|cancelled|interrupted)$", re.MULTILINE)


class Server:
    """``ragstream serve --workers N``, beside a Redis and a slow model of its own."""

    def __init__(self, redis: Any, model_port: int, folder: Path, *, workers: int, **settings: str) -> None:
        self.redis = redis
        self.model = f"http://127.0.0.1:{model_port}"
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop
        inherited = {name: value for name, value in os.environ.items() if "RAGSTREAM" not in name}
        own = {
            "RAGSTREAM_STREAM_LOG": "redis",
            "RAGSTREAM_REDIS_URL": redis.url,
            "RAGSTREAM_LEASE": "2",
            "RAGSTREAM_MODEL": "slow",
            "RAGSTREAM_LOG_LEVEL": "warning",
            "OPENAI_BASE_URL": f"{self.model}/v1",
            "OPENAI_API_KEY": "none",
        }
        own |= {f"RAGSTREAM_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "ragstream", "serve", "--port", "0", "--workers", str(workers)]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")],
            cwd=folder,
            env=inherited | own,
            stdin=subprocess.DEVNULL,
            stderr=self._said,
        )
        deadline = time.monotonic() + DEADLINE
        while not (found := re.search(r"listens at (http://\S+) ", self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        self.url = found[1]

    @property
    def said(self) -> str:
        return self.said_since(0).decode()

    def said_since(self, start: int) -> bytes:
        """Return whole lines, from a byte on."""
        size = os.fstat(self._said.fileno()).st_size
        said = os.pread(self._said.fileno(), size - start, start)
        return said[: said.rfind(b"\n") + 1]

    def writer_of(self, stream_id: str) -> int:
        """Return the id of the process that writes this answer."""
        found = subprocess.run(
            ["redis-cli", "-p", str(self.redis.port), "HGET", f"ragstream:log:{stream_id}", "by"],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(found.stdout.strip().split(".")[-2])

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self._said.close()


@pytest.fixture(scope="module")
def model_port() -> Iterator[int]:
    program = str(Path(__file__).parent / "slow_model.py")
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture(scope="module")
def server(redis_server: Any, model_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(redis_server, model_port, tmp_path_factory.mktemp("workers"), workers=3, drain="30")
    yield running
    assert running.stop() == 0
    with contextlib.suppress(ValueError):
        assert "Traceback" not in running.said


@pytest.fixture
def own_server(
    make_redis: Callable[..., Any], model_port: int, tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Return what starts a server that the test itself ends, with a Redis that no other server settles."""
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        servers.append(Server(make_redis(), model_port, tmp_path, **settings))
        return servers[-1]

    yield start
    for one in servers:
        one.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncio.timeout(DEADLINE), connected(server) as client:
        yield client


def connected(server: Server) -> httpx.AsyncClient:
    """Return a client that takes a new connection for every request: any worker may answer."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=server.url, timeout=DEADLINE, limits=limits)


def question(wish: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": wish}]}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what another process does has no event here
        await asyncio.sleep(0.05)


async def begin(client: httpx.AsyncClient, wish: str, **headers: str) -> str:
    """Ask, wait for the first words, and leave; return the stream's id."""
    asked = client.stream("POST", "/api/v1/chatbot/chat/stream", json=question(wish), headers=headers)
    async with asked as reply:
        assert reply.status_code == 200, await reply.aread()
        async for data in reply.aiter_bytes():
            if b"text_delta" in data:
                break
        return str(reply.headers["x-stream-id"])


async def blocks_of(reply: httpx.Response) -> AsyncIterator[bytes]:
    buffer = b""
    async for data in reply.aiter_bytes():
        buffer += data
        while b"\n\n" in buffer:
            block, _, buffer = buffer.partition(b"\n\n")
            if block := re.sub(rb"\A(:.*(\n|\Z))+", b"", block):  # a comment is no block of its own
                yield block + b"\n\n"


class Reading:
    """A reader as EventSource is one: it comes back with its cursor until it was told DONE."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.blocks: list[bytes] = []
        self.comings = 0
        self.retries: list[int] = []
        self.done = False
        self.stream_id = ""

    async def ask(self, wish: str) -> None:
        asked = self._client.stream("POST", "/api/v1/chatbot/chat/stream", json=question(wish))
        async with asked as reply:
            assert reply.status_code == 200, await reply.aread()
            self.stream_id = reply.headers["x-stream-id"]
            await self._take(reply)
        await self.follow(self.stream_id)

    async def follow(self, stream_id: str) -> None:
        while not self.done:
            cursor = {"last-event-id": str(len(self.blocks))} if self.blocks else {}
            async with self._client.stream("GET", f"/api/v1/streams/{stream_id}", headers=cursor) as reply:
                assert reply.status_code == 200, (reply.status_code, await reply.aread())
                await self._take(reply)

    async def _take(self, reply: httpx.Response) -> None:
        self.comings += 1
        async for block in blocks_of(reply):
            if block == DONE:
                self.done = True
            elif block.startswith(b"retry:"):
                self.retries.append(int(block.split()[1]))
            else:
                found = re.match(rb"id: (\d+)\n", block)
                assert found is not None, block
                assert int(found[1]) == len(self.blocks) + 1
                self.blocks.append(re.sub(rb"^retry: \d+\n", b"", block, flags=re.MULTILINE))

    @property
    def ending(self) -> str:
        endings: list[str] = TERMINAL.findall(b"".join(self.blocks).decode())
        assert len(endings) == 1, endings
        return endings[0]


async def whole(client: httpx.AsyncClient, stream_id: str) -> Reading:
    reading = Reading(client)
    await reading.follow(stream_id)
    return reading


async def asked_of_the_model(server: Server) -> int:
    async with httpx.AsyncClient() as client:
        return int((await client.get(f"{server.model}/count")).text)


@pytest.mark.trial("T19", "many readers of one answer, one after the other, at any worker")
@pytest.mark.parametrize("counts", [(30,), pytest.param(range(2, 51), marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
async def test_an_answer_is_the_same_at_every_worker(
    server: Server, trial: Trial, counts: Iterable[int]
) -> None:
    async with connected(server) as client:
        before = await asked_of_the_model(server)
        for asked, readers in enumerate(counts, 1):
            async with asyncio.timeout(DEADLINE):
                stream_id = await begin(client, "50 words, 20 ms")
                readings = await asyncio.gather(
                    *(_later(number / readers, whole(client, stream_id)) for number in range(readers))
                )
                late = await whole(client, stream_id)
            assert late.ending == "message_complete"
            for reading in readings:
                assert reading.blocks == late.blocks
                trial.case(said(reading.blocks), said(late.blocks), f"{readers} readers")
            assert await asked_of_the_model(server) == before + asked


async def _later(seconds: float, reading: Coroutine[Any, Any, Reading]) -> Reading:
    await asyncio.sleep(seconds)
    return await reading


async def test_any_worker_stops_an_answer(client: httpx.AsyncClient, server: Server) -> None:
    streams = [await begin(client, "1000 words, 50 ms") for _ in range(6)]
    readings = [asyncio.create_task(whole(client, stream_id)) for stream_id in streams for _ in range(2)]
    for stream_id in streams:
        reply = await client.post(f"/api/v1/streams/{stream_id}/cancel")
        assert (reply.status_code, reply.json()["state"]) == (200, "cancelling")
    for reading in await asyncio.gather(*readings):
        assert reading.ending == "cancelled"


@pytest.mark.trial("T20", "the same idempotency key a hundred times at once, at all workers")
async def test_one_key_is_one_answer_however_often_and_wherever_it_is_sent(
    client: httpx.AsyncClient, server: Server, trial: Trial
) -> None:
    before = await asked_of_the_model(server)
    key = {"idempotency-key": "the same"}
    streams = await asyncio.gather(*(begin(client, "5 words, 20 ms", **key) for _ in range(100)))
    assert len(set(streams)) == 1
    trial.cases += len(streams)
    assert await asked_of_the_model(server) == before + 1
    other = question("another one")
    refused = await client.post("/api/v1/chatbot/chat/stream", json=other, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_document_given_to_one_worker_is_known_to_all(client: httpx.AsyncClient) -> None:
    files = {"file": ("quokka.md", b"# Quokkas\n\nThe quokka of Rottnest Island smiles at everybody.")}
    reply = await client.post("/api/v1/documents", files=files)
    assert reply.status_code == 201, reply.text
    for _ in range(12):
        said = await client.post("/api/v1/chatbot/chat", json=question("Where does the quokka smile?"))
        assert [source["title"] for source in said.json()["sources"]] == ["Quokkas"], said.text
    listed = (await client.get("/api/v1/documents")).json()
    assert (len(listed["documents"]), listed["ingest"]["running"]) == (1, False)


async def test_the_metrics_of_any_worker_are_those_of_all(client: httpx.AsyncClient) -> None:
    def answers(text: str) -> float:
        found = re.search(r'^ragstream_answers_total{status="complete"} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    before = answers((await client.get("/metrics")).text)
    await asyncio.gather(
        *(client.post("/api/v1/chatbot/chat", json=question("1 words, 0 ms")) for _ in range(20))
    )
    for _ in range(6):
        assert answers((await client.get("/metrics")).text) == before + 20


@pytest.mark.trial("T04", "kill -9 of a worker in the middle of its answers")
async def test_a_worker_that_is_killed_interrupts_its_answers_and_no_others(
    client: httpx.AsyncClient, server: Server, trial: Trial
) -> None:
    await _kill_one(client, server, trial, streams=12)
    await until(lambda: "worker died" in server.said)
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.postgres
@pytest.mark.trial("T04", "kill -9 of a worker whose turns are in PostgreSQL")
async def test_workers_share_turns_in_postgresql(
    own_server: Callable[..., Server], postgres: Any, trial: Trial
) -> None:
    name = f"test_{uuid.uuid4().hex}"
    admin = Database(postgres.url())
    await admin.read(lambda connection: connection.exec_driver_sql(f"CREATE DATABASE {name}").close())
    await admin.aclose()
    server = own_server(workers=2, database_url=postgres.url(name))
    async with (
        asyncio.timeout(DEADLINE),
        contextlib.aclosing(Database(postgres.url(name))) as database,
        connected(server) as client,
    ):
        session = (await client.post("/api/v1/auth/session")).json()["id"]
        for wish in ("3 words, 0 ms", "2 words, 0 ms"):
            reply = await client.post("/api/v1/chatbot/chat", json=question(wish) | {"session_id": session})
            assert reply.status_code == 200, reply.text
        for _ in range(6):  # at any worker
            history = (await client.get("/api/v1/chatbot/messages", params={"session_id": session})).json()
            said_so_far = [message["content"].strip() for message in history["messages"]]
            assert said_so_far == ["3 words, 0 ms", "word0 word1 word2", "2 words, 0 ms", "word0 word1"]
        await _kill_one(client, server, trial, streams=8)
        turns = SQLTurns(database)
        assert await turns.unfinished() == []
        rows = text("SELECT stream_id FROM turns WHERE session_id <> :session")
        for stream_id in await database.read(
            lambda connection: connection.scalars(rows, {"session": session}).all()
        ):
            turn, log = await turns.get(stream_id), await whole(client, stream_id)
            assert turn is not None
            assert turn.ending is not None
            assert turn.ending.type == log.ending
            assert turn.text == "".join(re.findall(r'"content":"(word\d+ )"', b"".join(log.blocks).decode()))
            trial.cases += 1
    assert trial.cases == 16


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.trial("T04", "kill -9 of a worker in the middle of its answers")
async def test_many_workers_are_killed(own_server: Callable[..., Server], trial: Trial) -> None:
    server = own_server(workers=4, drain="30")
    async with connected(server) as client:
        for number in range(50):
            async with asyncio.timeout(DEADLINE):
                await _kill_one(client, server, trial, streams=100, wish="60 words, 150 ms")
                await until(lambda: server.said.count("worker died") == number + 1)  # noqa: B023 - at once
            trial.say(f"{number + 1} of 50 workers killed")


async def _kill_one(
    client: httpx.AsyncClient, server: Server, trial: Trial, *, streams: int, wish: str = "150 words, 50 ms"
) -> None:
    begun = await asyncio.gather(*(begin(client, wish) for _ in range(streams)))
    pids = {stream_id: server.writer_of(stream_id) for stream_id in begun}
    victim = pids[begun[0]]
    readings = {stream_id: Reading(client) for stream_id in begun}
    tasks = [asyncio.create_task(_survive(readings[stream_id], stream_id)) for stream_id in begun]
    await until(lambda: all(reading.blocks for reading in readings.values()))
    os.kill(victim, signal.SIGKILL)
    await asyncio.gather(*tasks)
    for stream_id, reading in readings.items():
        assert reading.ending == ("interrupted" if pids[stream_id] == victim else "message_complete")
        trial.case(said(reading.blocks), said((await whole(client, stream_id)).blocks), stream_id)


async def _survive(reading: Reading, stream_id: str) -> None:
    """Follow to the end, though the line may be cut with a worker."""
    while not reading.done:
        with contextlib.suppress(httpx.TransportError):
            await reading.follow(stream_id)


@pytest.mark.trial("T22", "one worker of several is asked to go")
async def test_a_worker_that_goes_leaves_its_readers_to_the_others(
    client: httpx.AsyncClient, server: Server, trial: Trial
) -> None:
    readings = [Reading(client) for _ in range(12)]
    tasks = [asyncio.create_task(reading.ask("100 words, 50 ms")) for reading in readings]
    await until(lambda: all(reading.blocks for reading in readings))
    os.kill(server.writer_of(readings[0].stream_id), signal.SIGTERM)
    await asyncio.gather(*tasks)
    assert [reading.ending for reading in readings] == ["message_complete"] * 12
    moved = [reading for reading in readings if reading.comings > 1]
    assert readings[0] in moved
    assert all(1000 <= retry <= 10_000 for reading in moved for retry in reading.retries)
    assert all(reading.retries for reading in moved)
    for reading in readings:
        trial.case(said(reading.blocks), said((await whole(client, reading.stream_id)).blocks))


class Answer(NamedTuple):
    """What one of a crowd has read of its answer, and how often it came for it."""

    stream_id: str
    events: list[Said]
    comings: int


async def _ask(crowd: Crowd, wish: str) -> Answer:
    """Ask, and come back as often as need be, until DONE."""
    member, events, comings = await crowd.ask(wish=wish), list[Said](), 1
    await member.until(lambda member: member.ended)
    stream_id = member.stream_id
    while True:
        assert member.received.startswith(b"HTTP/1.1 200 "), bytes(member.received)
        member.transport.close()
        events += member.events
        if b"event: done\n" in member.received:
            return Answer(stream_id, events, comings)
        member = await crowd.follow(stream_id, events[-1].seq if events else 0)
        await member.until(lambda member: member.ended)
        comings += 1


async def _ask_until(done: asyncio.Task[None], crowd: Crowd, wish: str, start: float) -> list[Answer]:
    """Ask again and again, the first time after a while, so that connections do not come all at once."""
    answers: list[Answer] = []
    await asyncio.sleep(start)
    while not done.done():
        answers.append(await _ask(crowd, wish))
    return answers


async def _roll(server: Server, workers: int) -> None:
    """Replace all workers, and wait until they are."""
    replaced, read = 0, len(server.said_since(0))
    server.process.send_signal(signal.SIGHUP)
    while replaced < workers:
        await asyncio.sleep(0.1)
        said = server.said_since(read)  # under load it says a lot, and to read all of it would hold us up
        replaced += said.count(b"worker replaced")
        read += len(said)


@pytest.mark.trial("T23", "all workers are replaced under load")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("workers", "streams", "wish"),
    [(2, 20, "60 words, 50 ms"), pytest.param(4, 500, "40 words, 500 ms", marks=pytest.mark.nightly)],
)
async def test_a_rolling_restart_shows_nobody_an_error(
    own_server: Callable[..., Server], trial: Trial, workers: int, streams: int, wish: str
) -> None:
    patient = {"drain": "60", "lease": "15"}  # on a busy machine a silent worker is not yet a dead one
    server = own_server(workers=workers, log_level="info", **patient)
    async with asyncio.timeout(10 * DEADLINE), connected(server) as client:
        crowd = Crowd(int(server.url.rpartition(":")[2]))
        rolling = asyncio.create_task(_roll(server, workers))
        asking = [_ask_until(rolling, crowd, wish, 3.0 * number / streams) for number in range(streams)]
        answers = [answer for asked in await asyncio.gather(*asking) for answer in asked]
        await rolling
        for answer in answers:
            trial.case(answer.events, said((await whole(client, answer.stream_id)).blocks))
    assert [answer.events[-1] for answer in answers if answer.events[-1].type != "message_complete"] == []
    assert any(answer.comings > 1 for answer in answers)
    server.process.terminate()
    assert server.process.wait(DEADLINE) == 0, server.said


async def test_a_signal_to_all(own_server: Callable[..., Server]) -> None:
    server = own_server(workers=2, drain="4")
    async with asyncio.timeout(DEADLINE), connected(server) as client:
        short, endless = Reading(client), Reading(client)
        tasks = [
            asyncio.create_task(short.ask("40 words, 50 ms")),
            asyncio.create_task(endless.ask("10000 words, 50 ms")),
        ]
        await until(lambda: bool(short.blocks and endless.blocks))
        server.process.terminate()
        await asyncio.gather(*tasks)
    assert server.process.wait(DEADLINE) == 0, server.said
    assert (short.ending, endless.ending) == ("message_complete", "interrupted")
    assert (short.comings, endless.comings) == (1, 1)
    assert "Traceback" not in server.said


async def test_a_second_signal_waits_for_no_answer(own_server: Callable[..., Server]) -> None:
    server = own_server(workers=2, drain="3600")
    async with asyncio.timeout(DEADLINE), connected(server) as client:
        endless = [Reading(client) for _ in range(4)]
        tasks = [asyncio.create_task(reading.ask("10000 words, 50 ms")) for reading in endless]
        await until(lambda: all(reading.blocks for reading in endless))
        server.process.send_signal(signal.SIGINT)
        while await _is_ready(client):  # noqa: ASYNC110 - see until
            await asyncio.sleep(0.05)
        server.process.send_signal(signal.SIGINT)
        await asyncio.gather(*tasks)
    assert server.process.wait(DEADLINE) == 0, server.said
    assert [reading.ending for reading in endless] == ["interrupted"] * 4
    assert "Traceback" not in server.said


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:  # a line that was opened in the moment of the signal may be closed
        return False


def _refused(folder: Path, **settings: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if "RAGSTREAM" not in name}
    own = {f"RAGSTREAM_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "ragstream", "serve", "--port", "0", "--data-dir", str(folder / "data")],
        env=inherited | own,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_redis_nothing_starts_and_one_line_says_why(tmp_path: Path, workers: str) -> None:
    line = _refused(tmp_path, workers=workers, stream_log="redis", redis_url="redis://:canary@127.0.0.1:1")
    assert line.startswith("ragstream: Redis at 127.0.0.1:1 cannot be reached: ")
    assert line.endswith(" Start it there, or set RAGSTREAM_REDIS_URL.")
    assert "\n" not in line
    assert "canary" not in line


def test_several_workers_need_a_log_that_they_share(tmp_path: Path) -> None:
    line = _refused(tmp_path, workers="2")
    assert "several need the Redis log: set RAGSTREAM_STREAM_LOG=redis and RAGSTREAM_REDIS_URL" in line
