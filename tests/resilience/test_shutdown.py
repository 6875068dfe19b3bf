"""The end of a server process: by a signal, by two, and by kill -9."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 80.0
DONE = b"event: done\ndata: {}\n\n"
GATE = "gate"

Start = Callable[..., Awaitable[Any]]


@pytest.fixture
def gate(upstream: Any, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what opens every GATE of the provider's answers."""
    opened, play = asyncio.Event(), upstream._play

    async def gated(answer: Any, reader: Any, writer: Any) -> None:
        for part in answer:
            await (opened.wait() if part == GATE else play([part], reader, writer))

    monkeypatch.setattr(upstream, "_play", gated)
    return opened


def settings(upstream: Any, **more: str) -> dict[str, str]:
    names = {"RAGSTREAM_MODEL": "tiny", "OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "none"}
    return names | {f"RAGSTREAM_{name.upper()}": value for name, value in more.items()}


async def begin(server: Any, **fields: Any) -> tuple[Any, list[bytes], Any]:
    """Ask, and read until the first words are there."""
    line = await server.ask(**fields)
    blocks, events = list[bytes](), line.events()
    async for block in events:
        blocks.append(block)
        if b"text_delta" in block:
            break
    return line, blocks, events


async def refuses(server: Any) -> None:
    while (await server.get("/readyz"))[0] != 503:
        pass  # asked again, until the signal was noticed


def types(blocks: list[bytes]) -> list[str]:
    return re.findall(r"^event: (\w+)$", b"".join(blocks).decode(), re.MULTILINE)


async def test_a_signal(start: Start, upstream: Any, gate: asyncio.Event, tmp_path: Path) -> None:
    finishing = [upstream.chunk("lo"), upstream.chunk(finish_reason="stop"), b"data: [DONE]\n\n"]
    upstream.answers = [
        [upstream.HEAD, upstream.chunk("Hel"), GATE, *finishing],
        [upstream.HEAD, upstream.chunk("Wait"), upstream.STALL],
    ]
    server = await start(tmp_path / "data", **settings(upstream, drain="4"))
    async with asyncio.timeout(PATIENCE):
        short, said, to_come = await begin(server)
        endless, begun, waiting = await begin(server)
        idle = await server.follow("0" * 32)  # a connection that is kept open and asks for nothing
        server.process.send_signal(signal.SIGTERM)
        await refuses(server)
        refused = await server.ask()
        problem = json.loads(await refused.body())
        assert (refused.status, problem["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        gate.set()
        said += [block async for block in to_come]
        begun += [block async for block in waiting]
        assert await server.ended() == 0, server.said
        await upstream.all_left()
    assert types(said)[-4:] == ["text_delta", "text_delta", "message_complete", "done"]
    assert types(begun)[-3:] == ["text_delta", "interrupted", "done"]
    assert short.ended, "no last chunk"
    assert endless.ended, "no last chunk"
    assert "Traceback" not in server.said
    for line in (short, endless, idle, refused):
        await line.aclose()


async def test_a_second_signal_waits_no_longer(start: Start, upstream: Any, tmp_path: Path) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Wait"), upstream.STALL]]
    server = await start(tmp_path / "data", **settings(upstream, drain="600"))
    async with asyncio.timeout(PATIENCE):
        line, blocks, events = await begin(server)
        server.process.send_signal(signal.SIGTERM)
        await refuses(server)
        server.process.send_signal(signal.SIGTERM)
        blocks += [block async for block in events]
        assert await server.ended() == 0, server.said
    assert types(blocks)[-3:] == ["text_delta", "interrupted", "done"]
    assert line.ended
    await line.aclose()


async def test_a_signal_with_nothing_to_do(start: Start, upstream: Any, tmp_path: Path) -> None:
    server = await start(tmp_path / "data", **settings(upstream, drain="600"))
    server.process.send_signal(signal.SIGTERM)
    assert await server.ended() == 0, server.said


async def test_kill_in_the_middle_of_an_answer(start: Start, upstream: Any, tmp_path: Path) -> None:
    words = [upstream.chunk(f"word{number} ") for number in range(50)]
    upstream.answers = [[upstream.HEAD, *words, upstream.STALL]]
    server = await start(tmp_path / "data", **settings(upstream))
    async with asyncio.timeout(PATIENCE):
        line, sent, events = await begin(server)
        async for block in events:
            sent.append(block)
            if b"word49" in block:
                break
        session, stream_id = line.headers["x-session-id"], line.headers["x-stream-id"]
        server.process.kill()
        assert [block async for block in events] == []
        assert not line.ended, "a cut is no proper end"
        assert await server.ended() == -signal.SIGKILL
        await upstream.all_left()
        await line.aclose()

        server = await start(tmp_path / "data", **settings(upstream))
        whole = await server.whole(stream_id)
        assert whole[: len(sent)] == sent, "every event that was ever sent, byte for byte"
        assert types(whole[len(sent) :]) == ["interrupted", "done"]
        returned = await server.follow(stream_id, after=len(sent))
        assert types([block async for block in returned.events()]) == ["interrupted", "done"]
        await returned.aclose()
        status, history = await server.get(f"/api/v1/chatbot/messages?session_id={session}")
    answer = history["messages"][-1]
    assert (status, answer["role"], answer["status"]) == (200, "assistant", "interrupted")
    assert answer["content"].startswith("word0 word1 ")
    assert answer["stream_id"] == stream_id


async def test_a_folder_in_use_is_refused_in_one_line(start: Start, upstream: Any, tmp_path: Path) -> None:
    first = await start(tmp_path / "data", **settings(upstream))
    with pytest.raises(ConnectionError) as refused:
        await start(tmp_path / "data", **settings(upstream))
    (line,) = str(refused.value).strip().split("\n")
    assert line.startswith("ragstream: The data directory ")
    assert f"is in use by process {first.process.pid}: stop it" in line
    assert (await first.get("/readyz"))[0] == 200


async def test_a_reader_that_takes_nothing_delays_no_end(start: Start, upstream: Any, tmp_path: Path) -> None:
    words = [upstream.chunk("x" * 2000)] * 600  # more than the buffers between us take
    upstream.answers = [[upstream.HEAD, *words, upstream.STALL]]
    server = await start(tmp_path / "data", **settings(upstream, drain="1"))
    async with asyncio.timeout(PATIENCE):
        line, _, events = await begin(server)
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", server.port))
        path = f"/api/v1/streams/{line.headers['x-stream-id']}"
        stuck.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert stuck.recv(12) == b"HTTP/1.1 200"
        server.process.send_signal(signal.SIGTERM)
        rest = [block async for block in events]
        assert types(rest)[-2:] == ["interrupted", "done"]
        assert await server.ended() == 0, server.said
    stuck.close()
    await line.aclose()


async def test_readers_come_back_while_it_drains(
    start: Start, upstream: Any, gate: asyncio.Event, tmp_path: Path
) -> None:
    """No new question is taken, but whoever lost the line reads on, to the end."""
    ending = [upstream.chunk("lo"), upstream.chunk(finish_reason="stop"), b"data: [DONE]\n\n"]
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), GATE, *ending]]
    server = await start(tmp_path / "data", **settings(upstream, drain="30"))
    async with asyncio.timeout(PATIENCE):
        line, had, _ = await begin(server)
        server.process.send_signal(signal.SIGTERM)
        await refuses(server)
        line.cut("RST")
        returned = await server.follow(line.headers["x-stream-id"], after=len(had))
        gate.set()
        rest = [block async for block in returned.events()]
        assert types(rest) == ["text_delta", "message_complete", "done"]
        assert returned.ended
        assert await server.ended() == 0, server.said
    await returned.aclose()


@pytest.mark.nightly
async def test_a_signal_at_two_hundred_streams(
    start: Start, upstream: Any, gate: asyncio.Event, tmp_path: Path
) -> None:
    """Half of them end within the drain, the others are interrupted; every reader gets its end."""
    finishing = [upstream.chunk("lo"), upstream.chunk(finish_reason="stop"), b"data: [DONE]\n\n"]
    whole = [upstream.HEAD, upstream.chunk("Hel"), GATE, *finishing]
    endless = [upstream.HEAD, upstream.chunk("Wait"), upstream.STALL]
    upstream.answers = [whole, endless] * 100
    server = await start(tmp_path / "data", **settings(upstream, drain="10"))
    async with asyncio.timeout(PATIENCE):
        begun = [await begin(server) for _ in range(200)]
        server.process.send_signal(signal.SIGTERM)
        await refuses(server)
        refused = await server.ask()
        assert (refused.status, int(refused.headers["retry-after"]) > 0) == (503, True)
        gate.set()

        async def rest_of(events: Any) -> list[bytes]:
            return [block async for block in events]

        told = await asyncio.gather(*(rest_of(events) for _, _, events in begun))
        assert await server.ended() == 0, server.said
        await upstream.all_left()
    endings = [types(blocks)[-2:] for blocks in told]
    assert endings.count(["message_complete", "done"]) == 100
    assert endings.count(["interrupted", "done"]) == 100
    assert all(line.ended for line, _, _ in begun), "each has its last chunk"
    assert "Traceback" not in server.said
    for line, _, _ in begun:
        await line.aclose()
    await refused.aclose()
