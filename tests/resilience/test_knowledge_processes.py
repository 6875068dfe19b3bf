"""Several processes at one knowledge base, some of which are killed, and a disk that fills up."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ragstream.errors import StorageFull
from ragstream.knowledge import LocalKnowledge, Origin
from ragstream.knowledge.reading import read

SECONDS = 60

FEEDER = """
import asyncio, sys
from pathlib import Path
from ragstream.knowledge import LocalKnowledge, Origin
from ragstream.knowledge.reading import read

async def main(folder, name, count):
    knowledge = LocalKnowledge(Path(folder))
    await knowledge.start()
    for number in range(count):
        file = f"{name}{number}.txt"
        text = f"apples from {name} number {number}"
        origin = Origin(location=f"/{file}", uri=file, content_hash=text)
        await knowledge.put(origin, read(file, text.encode()))
        print(file, flush=True)
        if number % 3 == 2:
            await knowledge.catch_up()
    await knowledge.catch_up()
    await knowledge.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def feeder(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that adds documents and prints the name of each once it is committed."""
    return subprocess.Popen(
        [sys.executable, "-c", FEEDER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True
    )


async def finish(process: subprocess.Popen[str]) -> str:
    output, _ = await asyncio.to_thread(process.communicate, timeout=SECONDS)
    return output


@pytest.fixture
async def knowledge(tmp_path: Path) -> AsyncIterator[LocalKnowledge]:
    opened = LocalKnowledge(tmp_path)
    await opened.start()
    yield opened
    await opened.aclose()


async def test_what_another_process_reads_is_found_by_the_next_question(
    knowledge: LocalKnowledge, tmp_path: Path
) -> None:
    assert await knowledge.retrieve("apples", limit=5) == ()
    process = feeder(tmp_path, "other", 4)
    await finish(process)
    assert process.returncode == 0
    assert len(await knowledge.retrieve("apples", limit=5)) == 4


async def test_two_processes_may_add_at_once(knowledge: LocalKnowledge, tmp_path: Path) -> None:
    processes = [feeder(tmp_path, "a", 25), feeder(tmp_path, "b", 25)]
    await asyncio.gather(*map(finish, processes))
    assert [process.returncode for process in processes] == [0, 0]
    assert (await knowledge.size()).documents == 50
    assert len(await knowledge.retrieve("apples", limit=100)) == 50


async def test_a_kill_leaves_no_lock_and_loses_no_change(knowledge: LocalKnowledge, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    committed: set[str] = set()
    for round_ in range(8):
        process = feeder(tmp_path, f"r{round_}-", 1000)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 12)):
            line = await asyncio.to_thread(process.stdout.readline)
            committed.add(line.strip())
        process.kill()
        output = await finish(process)
        committed.update(output.split("\n")[:-1])  # the last line may be cut
        async with asyncio.timeout(SECONDS):
            assert await knowledge.catch_up(), f"seed {seed}"
        found = {passage.uri for passage in await knowledge.retrieve("apples", limit=1000)}
        assert committed <= found, f"seed {seed}"
        assert len(found) == (await knowledge.size()).documents, f"seed {seed}"


async def fill(knowledge: LocalKnowledge) -> None:
    for number in range(1000):
        text = f"apples {number} " + " ".join(f"w{number}x{n}" for n in range(20_000))
        origin = Origin(location=f"/{number}", uri=str(number), content_hash="x")
        await knowledge.put(origin, read("a.txt", text.encode()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.root
async def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 20))
    knowledge = LocalKnowledge(small_disk / "data")
    await knowledge.start()
    try:
        with pytest.raises(StorageFull):
            await fill(knowledge)
        kept = (await knowledge.size()).documents
        with suppress(StorageFull):  # the index may or may not find room
            await knowledge.catch_up()
        ballast.unlink()
        async with asyncio.timeout(SECONDS):
            assert await knowledge.catch_up()
        assert len(await knowledge.retrieve("apples", limit=200)) == kept
    finally:
        await knowledge.aclose()
