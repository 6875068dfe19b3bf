"""The clients that the documentation shows, run as they stand there against a server over the docs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[2]
INTEROP = ROOT / "tests" / "interop"  # where the packages of others are
DOCUMENTED = "http://127.0.0.1:8000"

Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def address(serving: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    told = re.search(r"ragstream serve (.+) --host", _run("make", "--dry-run", "serve", cwd=ROOT))
    assert told, "make serve does not serve"
    command = [sys.executable, "-m", "ragstream", "serve", *told[1].split(), "--data-dir", str(data)]
    with serving(command, ROOT) as client:
        yield str(client.base_url).rstrip("/")


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _node(example: str, address: str) -> str:
    program = example.replace(DOCUMENTED, address)
    return _run("node", "--input-type=module", "--eval", program, cwd=INTEROP)


@pytest.mark.parametrize("example", _blocks("how-to/read-a-stream-with-python.md", "python"))
def test_python(example: str, address: str) -> None:
    printed = _run(sys.executable, "-W", "error", "-c", example.replace(DOCUMENTED, address))
    assert "press the stop button" in printed


@pytest.mark.parametrize("example", _blocks("how-to/use-openai-clients.md", "python"))
def test_openai_for_python(example: str, address: str) -> None:
    printed = _run(sys.executable, "-W", "error", "-c", example.replace(DOCUMENTED, address))
    assert "press the stop button" in printed


@pytest.mark.interop
@pytest.mark.parametrize("example", _blocks("how-to/use-openai-clients.md", "js"))
def test_openai_for_node(example: str, address: str) -> None:
    printed = _node(example, address)
    assert "press the stop button" in printed or printed.strip() in {"cancelled", "completed"}


@pytest.mark.interop
@pytest.mark.parametrize("example", _blocks("how-to/use-langchain.md", "python"))
def test_langchain(example: str, address: str) -> None:
    python = str(ROOT / ".venv-interop" / "bin" / "python")
    printed = _run(python, "-c", example.replace(DOCUMENTED, address))
    assert "press the stop button" in printed
    assert "\nstop-leave-come-back.md" in printed  # a page that is cited


@pytest.mark.interop
@pytest.mark.parametrize("package", ["ai-5", "ai-6", "ai"])
def test_the_ai_sdk(package: str, address: str) -> None:
    (example,) = _blocks("how-to/use-the-ai-sdk.md", "js")
    printed = _node(example.replace('from "ai"', f'from "{package}"'), address)
    assert "press the stop button" in printed
    assert "source-document Stop an answer" in printed
    assert printed.endswith("null\n")


@pytest.mark.interop
def test_react(address: str) -> None:
    (page,) = _blocks("how-to/use-the-ai-sdk.md", "jsx")
    told = "press the stop button"
    arguments = (page.replace(DOCUMENTED, address), "How do I stop an answer?", told)
    assert told in _run("node", "react.mjs", *arguments, cwd=INTEROP)


@pytest.mark.interop
@pytest.mark.parametrize("package", ["@ag-ui/client-0", "@ag-ui/client"])
def test_ag_ui(package: str, address: str) -> None:
    (example,) = _blocks("how-to/use-ag-ui.md", "js")
    printed = _node(example.replace("@ag-ui/client", package), address)
    assert "press the stop button" in printed
    assert "s1 " in printed


@pytest.mark.browser
@pytest.mark.parametrize("example", _blocks("how-to/read-a-stream-in-a-browser.md", "js"))
def test_a_browser(example: str, address: str) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(path for name in names if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium).new_page()
        page.goto(f"{address}/healthz")  # any page of the server
        page.evaluate(f"async () => {{ {example} }}")
        expect(page.locator("body")).to_contain_text("press the stop button", timeout=20_000)


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
