"""The disk fills up in the middle of an answer: a clear end, readers go on, and room is enough to recover."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, json, resource, signal, sqlite3, sys
from pathlib import Path
import httpx
from ragstream import Ragstream

MEBIBYTE = 1 << 20
STREAM = "/api/v1/chatbot/chat/stream"

async def answer(request):
    text = request.messages[-1].text
    for number in range(500 if text == "fill" else 3):
        yield f"{number} " * (5000 if text == "fill" else 1)
        await asyncio.sleep(0)

def events(body):
    return [json.loads(line[6:]) for line in body.split("\\n") if line.startswith("data: ")][:-1]

async def ask(client, text):
    async with asyncio.timeout(20):
        return await client.post(STREAM, json={"messages": [{"role": "user", "content": text}]})

async def ready(client, status):
    async with asyncio.timeout(30):
        while (await client.get("/readyz")).status_code != status:
            await asyncio.sleep(0.05)

async def main(folder, limit):
    folder = Path(folder)
    ragstream = Ragstream(answer, folder=folder)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(ragstream.app), base_url="http://x", timeout=20)
    async with ragstream, client:
        first = await ask(client, "small")
        assert (await client.get("/readyz")).status_code == 200
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEBIBYTE, resource.RLIM_INFINITY))
        else:
            (folder / "ballast").write_bytes(b"x" * 4 * MEBIBYTE)

        full = await ask(client, "fill")
        *said, ending = events(full.text)
        assert ending["type"] == "failed" and ending["error"]["code"] == "storage_full", ending
        assert len(said) > 10 and all(event["type"] != "failed" for event in said)
        assert full.text.endswith("event: done\\ndata: {}\\n\\n")
        assert f"id: {len(said) + 1}\\n" not in full.text, "what is not logged has no id"

        await ready(client, 503)
        assert (await client.get("/healthz")).status_code == 200
        again = await client.get("/api/v1/streams/" + first.headers["x-stream-id"])
        assert events(again.text) == events(first.text), "who reads reads on"

        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        else:
            (folder / "ballast").unlink()
        await ready(client, 200)
        assert events((await ask(client, "small")).text)[-1]["type"] == "message_complete"
        settled = await client.get("/api/v1/streams/" + full.headers["x-stream-id"])
        *kept, ending = events(settled.text)
        assert kept[:len(said)] == said and ending["type"] in ("failed", "interrupted"), ending
        session = {"session_id": full.headers["x-session-id"]}
        history = (await client.get("/api/v1/chatbot/messages", params=session)).json()["messages"]
        assert history[-1]["status"] == ending["type"], history[-1]["status"]
    for name in ("log.db", "app.db"):
        assert sqlite3.connect(folder / name).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print("held")

asyncio.run(main(sys.argv[1], sys.argv[2] == "limit"))
"""


def _outcome(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout or done.stderr


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    assert _outcome([sys.executable, "-c", PROGRAM, str(tmp_path), "limit"]) == "held\n"


@pytest.mark.root
def test_a_full_disk(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    disk = tmp_path / "disk"
    disk.mkdir()
    in_a_namespace = f"mount -t tmpfs -o size=8m none {disk} && exec {sys.executable} {program} {disk} disk"
    assert _outcome(["unshare", "--mount", "sh", "-c", in_a_namespace]) == "held\n"
