"""A model's server, in a process of its own: says real chunks of OpenAI's protocol one by one, at a pace.

    python benchmarks/rig/upstream.py [--core 1]

Prints its port. The first token comes at once, each further one an interval after the one before. The second
waits for up to an interval more, each answer for a moment of its own: streams that began together would speak
together, and a server is cheaper that reads a hundred tokens in one pass of its loop.
``PUT /script`` sets what answers are like from now on::

    {"tokens": 200, "rate": 50, "first": [17, 180, …]}

``first`` are the lengths of the next answers, so that a hundred that begin together do not end together.
A rate of 0 says one token and then nothing. ``PUT /finish`` ends all answers under way, each in good order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.script import TOKENS

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_GOLDEN = 0.618_033_988_75  # its multiples spread evenly between 0 and 1, however many there are


def _frame(data: bytes) -> bytes:
    data = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    said = {
        "id": "chatcmpl-CfPbLyQ2vW8nRk3TzXo4Hs6Ue1Ga7",
        "object": "chat.completion.chunk",
        "created": 1_795_242_213,
        "model": "m",
        "service_tier": "default",
        "system_fingerprint": "fp_51db84afab",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }
    return _frame(json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode())


def _usage(tokens: int) -> bytes:
    said = {
        "id": "chatcmpl-CfPbLyQ2vW8nRk3TzXo4Hs6Ue1Ga7",
        "object": "chat.completion.chunk",
        "created": 1_795_242_213,
        "model": "m",
        "choices": [],
        "usage": {"prompt_tokens": 30, "completion_tokens": tokens, "total_tokens": 30 + tokens},
    }
    return _frame(json.dumps(said, separators=(",", ":")).encode())


_ROLE = _chunk({"role": "assistant", "refusal": None})
_SAID = [_chunk({"content": token}) for token in TOKENS]
_STOP = _chunk({}, "stop")
_DONE = _frame(b"[DONE]")


class _Script:
    """What answers are like."""

    def __init__(self) -> None:
        self.tokens = 200
        self.interval: float | None = 0.02
        self.first: list[int] = []
        self.under_way: set[_Answer] = set()
        self.asked = 0

    def set(self, given: dict[str, object]) -> None:
        self.tokens = int(given["tokens"])
        rate = float(given["rate"])
        self.interval = 1 / rate if rate else None
        self.first = list(given.get("first", ()))

    def length(self) -> int:
        self.asked += 1
        return self.first.pop() if self.first else self.tokens


class _Answer:
    """One answer, paced by one timer after the other; what is late catches up."""

    def __init__(self, script: _Script, transport: asyncio.Transport, usage: bool) -> None:
        self._script, self._transport, self._usage = script, transport, usage
        self._length, self._interval = script.length(), script.interval
        self._said = 0
        self._apart = script.asked * _GOLDEN % 1  # in intervals
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.paused = False  # the server does not keep up
        self._held = False  # a token was due meanwhile
        script.under_way.add(self)
        transport.write(_HEAD + _ROLE)
        self.say()

    def say(self) -> None:
        if self.paused:
            self._held = True
            return
        self._transport.write(_SAID[self._said % len(_SAID)])
        self._said += 1
        if self._said >= self._length:
            self.finish()
        elif self._interval is not None:
            self._due += self._interval * (1 + self._apart)
            self._apart = 0.0
            self._timer = self._loop.call_at(self._due, self.say)

    def resume(self) -> None:
        self.paused = False
        if self._held and self in self._script.under_way:
            self._held = False
            self.say()

    def finish(self) -> None:
        self.leave()
        self._transport.write(_STOP + (_usage(self._said) if self._usage else b"") + _DONE + _END)

    def leave(self) -> None:
        self._script.under_way.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class _Connection(asyncio.Protocol):
    def __init__(self, script: _Script) -> None:
        self._script = script
        self._received = b""
        self._answer: _Answer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._answer is not None:
            self._answer.leave()

    def pause_writing(self) -> None:
        if self._answer is not None:
            self._answer.paused = True

    def resume_writing(self) -> None:
        if self._answer is not None and self._answer.paused:
            self._answer.resume()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = int((head.lower() + b"\r\n").partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if blank and len(body) >= length:
            self._received = b""
            self._serve(head.split(b" ")[:2], body)

    def _serve(self, asked: list[bytes], body: bytes) -> None:
        match asked:
            case [b"POST", _]:
                self._answer = _Answer(self._script, self._transport, b"include_usage" in body)
                return
            case [b"PUT", b"/script"]:
                self._script.set(json.loads(body))
                told = b"{}"
            case [b"PUT", b"/finish"]:
                for answer in list(self._script.under_way):
                    answer.finish()
                told = b"{}"
            case _:  # the models
                told = b'{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"b"}]}'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(told) + told)


async def _main() -> None:
    loop, script = asyncio.get_running_loop(), _Script()
    server = await loop.create_server(lambda: _Connection(script), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--core", type=int)
    if (core := arguments.parse_args().core) is not None:
        os.sched_setaffinity(0, {core})
    uvloop.run(_main())
