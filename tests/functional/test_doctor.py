"""``ragstream doctor`` as people run it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ragstream.storage.migrations import migrate
from ragstream.streamlog._lock import FolderLock

DEADLINE = 60  # seconds
CANARY = "canary-7f3a"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Return a function that runs the command in a folder of its own: exit code, output and errors."""

    async def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAGSTREAM_", "OPENAI_"))
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ragstream", "doctor", *arguments),
            cwd=tmp_path,
            env=inherited | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(DEADLINE):
            out, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    return run


def lines(out: str) -> dict[str, str]:
    """Return the rest of each line by its first words."""
    cells = (line.partition("  ") for line in out.splitlines())
    return {first.strip(): " ".join(rest.split()) for first, _, rest in cells}


async def test_a_fresh_folder_is_well_and_stays_untouched(run: Any, tmp_path: Path) -> None:
    code, out, errors = await run()
    said = lines(out)
    assert (code, errors) == (0, "")
    assert said["RAGSTREAM_PORT"] == "8000 default"
    assert said["data folder"] == "note .ragstream will be made by the first start"
    assert said["provider"].startswith("note none")
    assert said["ragstream"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing waits for it


async def test_it_says_where_each_setting_came_from_and_shows_no_secret(run: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RAGSTREAM_HEARTBEAT=3\n")
    _, out, errors = await run(
        *("--data-dir", "elsewhere"),
        RAGSTREAM_API_KEYS=f"ann:{CANARY}",
        RAGSTREAM_DATABASE_URL=f"postgresql://ann:{CANARY}@127.0.0.1:1/app",
        OPENAI_API_KEY=CANARY,
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
    )
    said = lines(out)
    assert said["RAGSTREAM_DATA_DIR"] == "elsewhere flag"
    assert said["RAGSTREAM_HEARTBEAT"] == "3 .env"
    assert said["RAGSTREAM_API_KEYS"] == "ann: not shown environment"
    assert said["OPENAI_API_KEY"] == "set, not shown environment"
    assert CANARY not in out + errors


async def test_what_a_server_needs_and_does_not_find_is_the_exit_code(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, out, errors = await run(
        RAGSTREAM_DATA_DIR="file",
        RAGSTREAM_DATABASE_URL="postgresql://ann@127.0.0.1:1/app",
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        RAGSTREAM_MODEL="m",
    )
    said = lines(out)
    assert (code, errors) == (1, "")
    assert said["data folder"].startswith("failed RAGSTREAM_DATA_DIR is 'file', which cannot be written")
    assert said["database"] == "failed The database app cannot be reached."
    assert said["provider"].startswith("failed 127.0.0.1:1 refused")


async def test_what_is_there_is_reached(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / ".ragstream"
    folder.mkdir()
    await migrate(folder / "app.db")
    (folder / "log.db").touch()
    code, out, _ = await run()
    said = lines(out)
    assert code == 0
    assert said["data folder"] == "ok .ragstream can be written"
    assert said["database"] == "ok .ragstream/app.db answers"
    assert said["stream log"] == "ok free: no server uses it"
    lock = FolderLock(folder)
    code, out, _ = await run()
    lock.release()
    assert code == 0
    assert lines(out)["stream log"].startswith("note a server is running")
    assert f"process {os.getpid()}" in lines(out)["stream log"]


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("small", 0, "ok {name} offers small"),
        ("other", 0, "note {name} answers, but does not list other; it offers large, small"),
        ("", 1, "failed set RAGSTREAM_MODEL to one that {name} offers: large, small"),
    ],
)
async def test_the_providers_models_are_listed(
    run: Any, upstream: Any, model: str, code: int, words: str
) -> None:
    body = json.dumps({"object": "list", "data": [{"id": "small"}, {"id": "large"}]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    upstream.answers = [[head, body]]
    found, out, _ = await run(OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY=CANARY, RAGSTREAM_MODEL=model)
    name = upstream.url.split("/")[2]
    assert found == code
    assert lines(out)["provider"] == words.format(name=name)
    assert CANARY.encode() in upstream.heads[0]


async def test_each_of_several_providers_is_asked(run: Any, upstream: Any) -> None:
    body = json.dumps({"object": "list", "data": [{"id": "small"}]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    upstream.answers = [[head, body]]
    providers = [
        {"name": "one", "base_url": upstream.url, "model": "small", "api_key": CANARY},
        {"name": "two", "base_url": "http://127.0.0.1:1/v1", "model": "m"},
        {"name": "three", "base_url": upstream.url, "model": "m", "api_key_env": "NOT_THERE"},
    ]
    code, out, errors = await run(RAGSTREAM_PROVIDERS=json.dumps(providers))
    said = lines(out)
    assert (code, errors) == (1, "")
    assert said["provider one"] == "ok one offers small"
    assert said["provider two"].startswith("failed two refused")
    assert said["provider three"].startswith("failed RAGSTREAM_PROVIDERS: three takes its key from NOT_THERE")
    assert "provider" not in said
    assert CANARY not in out


async def test_a_wrong_setting_is_one_line(run: Any) -> None:
    code, out, errors = await run(RAGSTREAM_PROT="1")
    assert (code, out) == (2, "")
    assert errors == (
        "ragstream: RAGSTREAM_PROT (environment) is no setting: "
        "did you mean RAGSTREAM_PORT? If not, unset it.\n"
    )
