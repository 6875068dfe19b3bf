"""A full disk: a clear error in bounded time, readers go on, and once there is room so do writers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, resource, signal, sqlite3, sys
from pathlib import Path
from ragstream.errors import StorageFull
from ragstream.events import EventType, Message, StreamEvent
from ragstream.storage.base import Turn
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.storage.turns import SQLTurns

MEBIBYTE = 1 << 20

def turn(number):
    question = (Message(role="user", content="x" * 30_000),)
    ids = {"stream_id": f"s{number}", "message_id": "m", "session_id": "s"}
    return Turn(**ids, owner="ann", question=question, created=1.0)

async def fill(turns, database):
    for number in range(1000):
        try:
            async with asyncio.timeout(2):  # what is promised for a full disk
                await turns.open(turn(number))
        except StorageFull as error:
            assert "is full" in str(error)
            return number
    raise AssertionError("the disk never was full")

async def main(folder, limit):
    path = Path(folder) / "app.db"
    await migrate(path)
    database = Database(path)
    turns = SQLTurns(database)
    ballast = Path(folder) / "ballast"
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MEBIBYTE, resource.RLIM_INFINITY))
    else:
        ballast.write_bytes(b"x" * 4 * MEBIBYTE)
    stored = await fill(turns, database)
    assert stored > 5
    assert not await database.healthy()
    assert len(await turns.history("s", limit=1000)) == stored
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        ballast.unlink()
    assert await database.healthy()
    await turns.open(turn(stored))
    assert len(await turns.history("s", limit=1000)) == stored + 1
    await database.aclose()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print("held")

asyncio.run(main(sys.argv[1], sys.argv[2] == "limit"))
"""


def _outcome(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


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


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    else:
        command = []
    program = (
        "import asyncio, sys; from ragstream.storage.migrations import migrate; from pathlib import Path;"
        "asyncio.run(migrate(Path(sys.argv[1])))"
    )
    folder = Path("/") if os.geteuid() == 0 else tmp_path / "closed"
    if command:
        said = _outcome([*command, sys.executable, "-c", program, str(folder / "app.db")])
    else:
        folder.mkdir(mode=0o500)
        said = _outcome([sys.executable, "-c", program, str(folder / "app.db")])
    assert "StorageUnavailable: The database" in said
    assert "cannot be opened" in said
