"""CPU a token: ``LLMClient`` beside the openai SDK's own ``create(stream=True)``, on one stream in one run.

    python benchmarks/llm_client.py [--streams 20] [--tokens 200] [--pause 0.01] [--rounds 7] [--at-most 0.25]

A server in a process of its own sends each token as a chunk of its own, with a pause between them, so that
each is a read of its own; with ``--pause 0`` they pile up, as those of a provider faster than its reader do.
``--streams 1 --tokens 1000 --pause 0.0003`` is the worst case: the process goes to sleep after every token,
and to be woken costs both clients as much as a bare read does.
What is reported is the CPU time of this process for each token, and its ratio to the SDK's. The readers take
turns in short rounds, so that whatever else the machine does weighs on all of them alike; a ratio is one of
the same round, and the median of the rounds counts. With ``--at-most`` the exit code says whether it holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import openai

from ragstream import LLMClient

Reader = Callable[[], Awaitable[int]]


def _chunk(**choice: object) -> bytes:
    said = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1_795_242_213,
        "model": "m",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "logprobs": None, "finish_reason": None, **choice}],
        "usage": None,
    }
    data = b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _serve(tokens: int, pause: float, ready: Connection) -> None:
    token = _chunk(delta={"content": " token"})
    end = _chunk(delta={}, finish_reason="stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            length = int(request.lower().split(b"content-length:")[1].split()[0])
            await reader.readexactly(length)
            writer.write(head)
            for _ in range(tokens):
                writer.write(token)
                await writer.drain()
                await asyncio.sleep(pause)
            writer.write(end)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):  # the client has left
            await answer(reader, writer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def _measure(
    readers: dict[str, Reader], tokens: int, streams: int, rounds: int
) -> dict[str, list[float]]:
    """Return the CPU microseconds a token of each reader, by round."""
    spent: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds + 1):
        for name, read in readers.items():
            start = time.process_time()
            counts = await asyncio.gather(*(read() for _ in range(streams)))
            spent[name].append((time.process_time() - start) / sum(counts) * 1e6)
            assert set(counts) == {tokens}, f"{name}: {counts} tokens"
    return {name: times[1:] for name, times in spent.items()}  # the first round warms up


async def _compare(port: int, tokens: int, streams: int, rounds: int) -> dict[str, list[float]]:
    url = f"http://127.0.0.1:{port}/v1"
    ask = [{"role": "user", "content": "?"}]
    ours = LLMClient("m", api_key="k", base_url=url)
    sdk = openai.AsyncOpenAI(api_key="k", base_url=url)
    sdk_aiohttp = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=openai.DefaultAioHttpClient())

    async def read_ours() -> int:
        count = 0
        async for event in ours.chat_completion(ask):
            count += event.text_delta is not None
        return count

    def read_sdk(client: openai.AsyncOpenAI) -> Reader:
        async def read() -> int:
            count = 0
            stream = await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "?"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                count += bool(chunk.choices and chunk.choices[0].delta.content)
            return count

        return read

    readers = {
        "LLMClient": read_ours,
        "openai SDK": read_sdk(sdk),
        "openai SDK over aiohttp": read_sdk(sdk_aiohttp),
    }
    try:
        return await _measure(readers, tokens, streams, rounds)
    finally:
        await sdk.close()
        await sdk_aiohttp.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=200, help="of one answer")
    parser.add_argument("--streams", type=int, default=20, help="answers at once")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two tokens")
    parser.add_argument("--at-most", type=float, help="fail above this ratio to the SDK's own stream")
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(options.tokens, options.pause, there), daemon=True
    )
    server.start()
    try:
        spent = asyncio.run(_compare(here.recv(), options.tokens, options.streams, options.rounds))
    finally:
        server.terminate()
    ratios = [ours / theirs for ours, theirs in zip(spent["LLMClient"], spent["openai SDK"], strict=True)]
    for name, micros in spent.items():
        print(f"{name:<24} {_spread(micros, 1)} µs CPU a token")
    print(f"{'ratio to the SDK':<24} {_spread(ratios, 3)}")
    sys.exit(options.at_most is not None and statistics.median(ratios) > options.at_most)


def _spread(values: list[float], digits: int) -> str:
    """Return the median, and between which values the middle half lies."""
    low, middle, high = (f"{value:.{digits}f}" for value in statistics.quantiles(values, n=4))
    return f"{middle:>6} ({low} to {high})"


if __name__ == "__main__":
    main()
