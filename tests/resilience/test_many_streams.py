"""Hundreds of answers of a real server: while it is asked to go, and while it reads long documents."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.resilience.crowd import Crowd, Member
from tests.resilience.test_knowledge_beside_streams import heavy_pdf
from tests.trial import Trial

PATIENCE = 120.0
PACE = 20  # milliseconds between two tokens

Start = Callable[..., Awaitable[Any]]


@pytest.fixture
def model() -> Iterator[str]:
    """A model provider in a process of its own; return its address."""
    program = str(Path(__file__).with_name("slow_model.py"))
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.kill()


def settings(model: str, **more: str) -> dict[str, str]:
    names = {"RAGSTREAM_MODEL": "slow", "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none"}
    return names | {f"RAGSTREAM_{name.upper()}": value for name, value in more.items()}


async def ended(members: Sequence[Member]) -> None:
    async with asyncio.timeout(PATIENCE):
        for member in members:
            await member.until(lambda one: one.ended)


@pytest.mark.nightly
@pytest.mark.trial(
    "T22", "SIGTERM to a server alone: 100 answers can finish, 100 cannot, 20 readers are idle"
)
@pytest.mark.timeout(400)
async def test_a_signal_in_the_middle_of_many(start: Start, model: str, tmp_path: Path, trial: Trial) -> None:
    server = await start(tmp_path / "data", **settings(model, drain="20"))
    crowd = Crowd(server.port)
    endless = await Crowd.all_of(crowd.ask(wish="9999 words, 100 ms") for _ in range(100))
    silent = await Crowd.all_of(crowd.ask(wish="9999 words, 55000 ms") for _ in range(20))
    short = await Crowd.all_of(crowd.ask(wish="80 words, 100 ms") for _ in range(100))
    for member in [*endless, *short]:
        await member.until(lambda one: b"word3 " in one.received)
    server.process.send_signal(signal.SIGTERM)
    while "503" not in (refused := await _status(crowd)):
        pass  # asked again, until the signal was noticed
    assert "retry-after" in refused
    await ended([*short, *endless, *silent])
    assert await server.ended() == 0, server.said
    again = await start(tmp_path / "data", **settings(model))
    for members, ending in ((short, "message_complete"), (endless, "interrupted"), (silent, "interrupted")):
        whole = await Crowd.all_of(Crowd(again.port).follow(member.stream_id) for member in members)
        await ended(whole)
        for member, other in zip(members, whole, strict=True):
            assert member.events[-1].type == ending
            assert member.body.endswith(b"event: done\ndata: {}\n\n")
            trial.case(member.events, other.events)
            member.cut()
            other.cut()


async def _status(crowd: Crowd) -> str:
    """Ask, and return the head of the refusal, or nothing once an answer begins."""
    member = await crowd.ask(wish="1 words, 0 ms")
    async with asyncio.timeout(PATIENCE):
        await member.live
    head = member.received.partition(b"\r\n\r\n")[0].decode().lower()
    member.cut()
    return head


@pytest.mark.nightly
@pytest.mark.trial("T29", "100 streams while documents are read that keep a processor busy")
@pytest.mark.timeout(400)
async def test_documents_that_take_long_beside_streams(
    start: Start, model: str, tmp_path: Path, trial: Trial
) -> None:
    server = await start(tmp_path / "data", **settings(model))
    crowd = Crowd(server.port)
    wish = f"600 words, {PACE} ms"
    alone = await Crowd.all_of(crowd.ask(wish=wish) for _ in range(100))
    await ended(alone)
    beside = await Crowd.all_of(crowd.ask(wish=wish) for _ in range(100))
    given = 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE) as client:
        while not all(member.ended for member in beside):
            files = {"file": (f"heavy{given}.pdf", heavy_pdf())}
            reply = await client.post("/api/v1/documents", files=files)
            assert reply.status_code in (201, 422), reply.text
            given += 1
    for member in [*alone, *beside]:
        whole = await crowd.follow(member.stream_id)
        await ended([whole])
        trial.case(member.events, whole.events)
        whole.cut()
        member.cut()
    trial.measure(
        documents=given, token_late_p99_alone=lateness(alone), token_late_p99_beside=lateness(beside)
    )


def lateness(members: Sequence[Member]) -> str:
    """Return by how much one token in a hundred was late, after the one before it."""
    late = sorted(later - former - PACE / 1000 for one in members for former, later in pairwise(one.times))
    return f"{late[len(late) * 99 // 100] * 1000:.0f} ms"
