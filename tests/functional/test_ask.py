"""``ragstream ask``, as people type it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ASK = [sys.executable, "-m", "ragstream", "ask"]
FACTS = "# Boats\n\n## How long is the ferry?\n\nThe ferry is 40 metres long and carries 12 cars.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "boats.md").write_text(FACTS)
    return tmp_path


def ask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ASK, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_an_answer_with_footnotes(folder: Path) -> None:
    done = ask(folder, "How long is the ferry?", "docs")
    assert done.returncode == 0, done.stderr
    assert "40 metres" in done.stdout
    assert "\n[1] Boats (docs/boats.md" in done.stdout
    again = ask(folder, "How many cars does the ferry carry?")
    assert "12 cars" in again.stdout


def test_what_the_documents_do_not_say(folder: Path) -> None:
    done = ask(folder, "Who painted the Mona Lisa?", "docs")
    assert done.returncode == 0
    assert "say nothing about this" in done.stdout
    assert "[1]" not in done.stdout


def test_events_as_json_lines(folder: Path) -> None:
    done = ask(folder, "--json", "How long is the ferry?", "docs")
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert [events[0]["type"], events[1]["type"], events[-1]["type"]] == [
        "message_start",
        "sources",
        "message_complete",
    ]


def test_a_path_that_is_not_there(folder: Path) -> None:
    done = ask(folder, "What?", "nowhere")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_one_line(folder: Path) -> None:
    environment = os.environ | {"RAGSTREAM_RETRIEVAL_LIMIT": "many"}
    command = [*ASK, "What?"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("ragstream: RAGSTREAM_RETRIEVAL_LIMIT")
    assert done.stderr.count("\n") == 1


def test_certificates_that_are_not_there(folder: Path) -> None:
    environment = os.environ | {"OPENAI_BASE_URL": "https://127.0.0.1:1/v1", "SSL_CERT_FILE": "nowhere.pem"}
    done = subprocess.run(
        [*ASK, "What?"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("ragstream: SSL_CERT_FILE or SSL_CERT_DIR names no certificates")
    assert done.stderr.count("\n") == 1


async def test_an_answer_that_is_replaced_is_said_anew(folder: Path, upstream: Any) -> None:
    upstream.answers = [
        [upstream.HEAD, upstream.chunk("Forty"), upstream.RESET],
        [upstream.HEAD, upstream.chunk("The ferry is long."), upstream.chunk(finish_reason="stop")],
    ]
    environment = os.environ | {
        "OPENAI_BASE_URL": upstream.url,
        "RAGSTREAM_MODEL": "m",
        "RAGSTREAM_AFTER_DELTA": "replace",
    }
    asking = await asyncio.create_subprocess_exec(
        *ASK, "How long?", cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        said, _ = await asking.communicate()
    first, _, last = said.decode().partition("\n\n[The model failed; another answer replaces")
    assert first == "Forty"
    assert last.endswith("]\n\nThe ferry is long.\n")


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        (
            b'{"data":[{"id":"small"},{"id":"large"}]}',
            "the provider offers large, small. Set RAGSTREAM_MODEL",
        ),
        (b'{"data":[]}', "the provider offers nothing. Set RAGSTREAM_MODEL"),
        (b"[]", "the provider did not list its models (127.0.0.1"),
    ],
)
async def test_a_provider_without_a_model(folder: Path, upstream: Any, offered: bytes, said: str) -> None:
    upstream.answers = [[b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + offered]]
    environment = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    environment |= {"OPENAI_BASE_URL": upstream.url, "RAGSTREAM_MODEL": ""}
    asking = await asyncio.create_subprocess_exec(
        *ASK, "What?", cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, told = await asking.communicate()
    assert asking.returncode == 2
    assert said in told.decode()
    assert told.decode().count("\n") == 1


async def test_ctrl_c_stops_cleanly(folder: Path, upstream: Any) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("The beginning"), upstream.STALL]]
    environment = os.environ | {
        "OPENAI_BASE_URL": upstream.url,
        "RAGSTREAM_MODEL": "slow",
        "OPENAI_API_KEY": "k",
    }
    asking = await asyncio.create_subprocess_exec(
        *ASK, "What?", cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert asking.stdout is not None
    async with asyncio.timeout(60):
        assert await asking.stdout.readexactly(13) == b"The beginning"
        asking.send_signal(signal.SIGINT)
        _, said = await asking.communicate()
    assert asking.returncode == 130
    assert b"Stopped." in said
    assert b"Traceback" not in said
    await upstream.all_left()
