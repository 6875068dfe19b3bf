"""The command line when it is given something wrong: one line that says what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

DEADLINE = 60  # seconds


async def run(folder: Path, *arguments: str) -> tuple[int | None, str, list[str]]:
    """Return exit code, output, and the lines of what is said about errors."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAGSTREAM_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ragstream", *arguments),
        cwd=folder,
        env=inherited,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE):
        out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode().splitlines()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("ask", 2, "ask: Missing argument 'question'. See"),
        ("ask x --nope", 2, "ask: No such option: --nope. See"),
        ("answer x", 2, "No such command 'answer'. See"),
        ("serve --port many", 2, "serve: Invalid value for '--port': "),
        ("serve --port 99999", 2, "ragstream: RAGSTREAM_PORT (flag) is 99999: give a whole number from 0"),
        ("serve nowhere", 2, "ragstream: There is no nowhere: give folders or files that exist."),
    ],
)
async def test_an_error_is_one_line(tmp_path: Path, line: str, code: int, words: str) -> None:
    returned, out, errors = await run(tmp_path, *line.split())
    assert (returned, out, len(errors)) == (code, "", 1)
    assert words in errors[0]


@pytest.mark.parametrize("line", ["--debug serve nowhere", "serve --debug nowhere", "serve nowhere --debug"])
async def test_debug_anywhere_shows_the_traceback(tmp_path: Path, line: str) -> None:
    _, _, errors = await run(tmp_path, *line.split())
    assert errors[0].startswith("Traceback")
    assert errors[-1].endswith("There is no nowhere: give folders or files that exist.")


async def test_without_a_command_there_is_help(tmp_path: Path) -> None:
    _, out, errors = await run(tmp_path)
    assert "serve" in "".join([out, *errors])
    assert not any(line.startswith("ragstream:") for line in errors)
