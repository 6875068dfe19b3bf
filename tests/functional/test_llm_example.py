"""What people run: the example as it stands, and loops that are left early, with every warning an error."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "main.py"

LEAVING = """
import asyncio
from ragstream import LLMClient

held = []

async def ask(leave):
    client = LLMClient()
    events = client.chat_completion(messages=[{"role": "user", "content": "?"}])
    async for event in events:
        if event.text_delta:
            leave(events)

async def main():
    LEAVE

def stop(events):
    raise RuntimeError("enough")

RUN
print("left")
"""

WAYS = {
    "break": """
    async for event in LLMClient().chat_completion(messages=[{"role": "user", "content": "?"}]):
        if event.text_delta:
            break
""",
    "exception": """
    try:
        await ask(stop)
    except RuntimeError:
        pass
""",
    "cancel": """
    task = asyncio.create_task(ask(lambda events: asyncio.current_task().cancel()))
    await asyncio.wait([task])
    assert task.cancelled()
""",
    "timeout": """
    try:
        async with asyncio.timeout(0.3):
            await ask(lambda events: None)
    except TimeoutError:
        pass
""",
    "held": """
    events = LLMClient().chat_completion(messages=[{"role": "user", "content": "?"}])
    held.append(events)  # still there when the loop ends
    await anext(events)
    await anext(events)
""",
    "many": """
    async def one():
        async for event in LLMClient().chat_completion(messages=[{"role": "user", "content": "?"}]):
            if event.text_delta:
                break
    await asyncio.gather(*(one() for _ in range(20)))
""",
}
RUNS = {"asyncio": "asyncio.run(main())", "uvloop": "import uvloop; uvloop.run(main())"}


async def start(upstream: Any, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    """Start a Python that takes every warning for an error."""
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": upstream.url,
        "OPENAI_API_KEY": "k",
        "RAGSTREAM_MODEL": "m",
        **variables,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(upstream: Any, *arguments: str) -> str:
    """Return what a program prints, which must be nothing on stderr."""
    process = await start(upstream, *arguments)
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    slow_import = b"Executing <Task"  # asyncio's debug mode remarks on how long importing the SDK takes
    assert [line for line in err.splitlines() if not line.startswith(slow_import)] == []
    assert process.returncode == 0
    return out.decode()


async def test_the_example(upstream: Any) -> None:
    upstream.say("Hel", "lo")
    lines = (await run(upstream, str(EXAMPLE))).splitlines()
    assert "message_start" in lines[0]
    assert ["TextDelta(content='Hel')" in line for line in lines] == [False, True, False, False, False]
    assert "finish_reason='stop'" in lines[-2]
    assert lines[-1] == "done"
    assert upstream.bodies[0]["model"] == "m"


async def test_the_example_may_be_interrupted(upstream: Any) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    process = await start(upstream, str(EXAMPLE), PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    async with asyncio.timeout(100):
        while b"Hel" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    await upstream.all_left()
    assert err.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert b"Warning" not in err
    assert b"Unclosed" not in err
    assert b"never" not in err


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loop", RUNS)
async def test_leaving_early_leaves_nothing_behind(upstream: Any, way: str, loop: str) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    program = LEAVING.replace("LEAVE", WAYS[way].strip()).replace("RUN", RUNS[loop])
    assert await run(upstream, "-c", program) == "left\n"
    await upstream.all_left()


async def test_without_a_model_the_server_is_asked_what_it_offers(upstream: Any) -> None:
    offer = b'{"object":"list","data":[{"id":"small","object":"model"},{"id":"large","object":"model"}]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    upstream.answers = [[head, offer]]
    program = (
        "import asyncio, os, ragstream.errors\n"
        "from ragstream import LLMClient, OpenAIProvider\n"
        "here = OpenAIProvider(base_url=os.environ['OPENAI_BASE_URL'], name='here')\n"
        "client = LLMClient(providers=[here])\n"
        "async def main():\n"
        "    async for event in client.chat_completion([{'role': 'user', 'content': '?'}]): pass\n"
        "try: asyncio.run(main())\n"
        "except ragstream.errors.ConfigError as error: print(error)\n"
    )
    said = await run(upstream, "-c", program)
    assert said == "No model is set: set RAGSTREAM_MODEL to one that here offers: large, small\n"
