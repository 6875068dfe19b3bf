"""How long each step of the blueprint takes: a server reads the documentation and answers questions from it.

    python benchmarks/steps.py [--questions 200]

Half of the answers are streamed, half are collected, one after the other. The averages are the server's own
metrics; they are left in `.ragstream-durations.json`, from where `ragstream audit --write` takes them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from ragstream.audit.durations import average_durations
from ragstream.audit.project import DURATIONS

ROOT = Path(__file__).parents[1]
QUESTION = {"messages": [{"role": "user", "content": "What happens when a reader comes back?"}]}
Found = TypeVar("Found")

PATIENCE = 60.0  # seconds until the server has read everything


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=200)
    questions = parser.parse_args().questions
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as client:
        for path in ("chat/stream", "chat") * (questions // 2):
            client.post(f"/api/v1/chatbot/{path}", json=QUESTION).raise_for_status()
        durations = average_durations(client.get("/metrics").raise_for_status().text)
    for step, milliseconds in sorted(durations.items(), key=lambda item: -item[1]):
        print(f"{step:<84}{milliseconds:8.3f} ms")
    (ROOT / DURATIONS).write_bytes(msgspec.json.format(msgspec.json.encode(durations)) + b"\n")


@contextmanager
def server(folder: Path) -> Iterator[httpx.Client]:
    said = folder / "said"
    command = [sys.executable, "-m", "ragstream", "serve", "docs", "--port", "0", "--data-dir", str(folder)]
    with said.open("w") as sink, subprocess.Popen(command, cwd=ROOT, stderr=sink) as process:
        try:
            address = wait_for(lambda: re.search(r"http://\S+", said.read_text()))
            with httpx.Client(base_url=address.group()) as client:
                wait_for(lambda: has_read(client))
                yield client
        finally:
            process.terminate()


def has_read(client: httpx.Client) -> bool:
    if client.get("/readyz").status_code != httpx.codes.OK:
        return False
    known = client.get("/api/v1/documents").raise_for_status().json()
    return bool(known["size"]["documents"]) and not known["ingest"]["running"]


def wait_for(look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not become ready")
        time.sleep(0.05)
    return found


if __name__ == "__main__":
    main()
