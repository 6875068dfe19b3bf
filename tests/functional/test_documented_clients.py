"""The clients that the documentation shows, run as they stand there against a server over the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTED = "http://127.0.0.1:8000"

Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def address(serving: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    command = [sys.executable, "-m", "ragstream", "serve", "docs", "--data-dir", str(data)]
    with serving(command, ROOT) as client:
        yield str(client.base_url).rstrip("/")


def _run(*command: str) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", _blocks("how-to/read-a-stream-with-python.md", "python"))
def test_python(example: str, address: str) -> None:
    printed = _run(sys.executable, "-W", "error", "-c", example.replace(DOCUMENTED, address))
    assert "press the stop button" in printed


@pytest.mark.parametrize("example", _blocks("how-to/read-a-stream-with-curl.md", "sh"))
def test_curl(example: str, address: str) -> None:
    script = f"set -euo pipefail; KEY=unused\n{example.replace(DOCUMENTED, address)}"
    printed = _run("bash", "-c", script)
    assert any(word in printed for word in ("button", '"state":"ended"', '"sessions"'))


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "press the stop button"), (1, "ends as `interrupted`"), (2, "`make serve DOCS=path`")],
)
def test_sample_questions_are_answered(number: int, told: str, address: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", "")
    (samples,) = re.findall(r"RAGSTREAM_SAMPLE_QUESTIONS \?= (\[.*\])", makefile)
    question = {"messages": [{"role": "user", "content": json.loads(samples)[number]}]}
    answer = httpx.post(f"{address}/api/v1/chatbot/chat", json=question, timeout=60).raise_for_status().json()
    assert told in answer["message"]["content"]
    assert answer["citations"]
