"""How fast folders are read, and what a running answer notices of it.

    python benchmarks/ingest.py [FOLDER] [--files COUNT]

Without FOLDER, Markdown files are made. The rate of ``Ingest`` (walk, hash, parse in two limited processes,
store, index) stands beside a plain loop that calls the same parser in this process and keeps nothing. A
second run shows what unchanged files cost. Then the same once more while a hundred tasks wake up fifty times
a second, as streams do: how late they are is what the reading costs the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ragstream.blueprint import Lane, bind, load_diagram
from ragstream.errors import RequestError
from ragstream.feeds import MODULES, FeedsKit, Ingest
from ragstream.feeds.walker import find_files
from ragstream.knowledge import LocalKnowledge, SubprocessParser
from ragstream.knowledge.reading import read

STREAMS = 100
INTERVAL = 0.02  # seconds between two tokens of a stream


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, nargs="?")
    arguments.add_argument("--files", type=int, default=1000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or make_files(Path(made, "docs"), given.files)
        plain = plain_loop(folder)
        asyncio.run(measure(folder, Path(made, "alone"), plain, streams=0))
        asyncio.run(measure(folder, Path(made, "beside"), plain, streams=STREAMS))


def plain_loop(folder: Path) -> float:
    """Return the chunks a second of a loop around the parser."""
    began, files, chunks = time.perf_counter(), 0, 0
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                chunks += len(read(path.name, path.read_bytes()).chunks)
            except RequestError:
                continue
            files += 1
    seconds = time.perf_counter() - began
    print(
        f"plain loop     {files} files, {chunks} chunks, {seconds:6.2f} s, {chunks / seconds:7.0f} chunks/s"
    )
    return chunks / seconds


async def measure(folder: Path, data: Path, plain: float, streams: int) -> None:
    knowledge, parser = LocalKnowledge(data), SubprocessParser()
    await knowledge.start()
    late: list[float] = []
    ticking = [asyncio.create_task(stream(late)) for _ in range(streams)]
    try:
        ingest = Ingest(lane(), FeedsKit(parser=parser, library=knowledge))
        cpu = time.process_time()
        first = await ingest.run([folder])
        cpu = time.process_time() - cpu
        second = await ingest.run([folder])
        searches = await search(knowledge)
    finally:
        for task in ticking:
            task.cancel()
        await parser.aclose()
        await knowledge.aclose()
    print(f"ingest         {first.files_done} files, {first.chunks} chunks, {first.seconds:6.2f} s,", end=" ")
    print(f"{first.rate:7.0f} chunks/s, {first.rate / plain:.2f} of the loop; beside {streams} streams")
    print(f"  CPU of this process {cpu:.2f} s; unchanged files again: {second.seconds:.2f} s", end="; ")
    print(f"search p99 {searches * 1e3:.1f} ms")
    if late:
        late.sort()
        print(f"  tokens late by {late[len(late) // 2] * 1e3:.2f} ms (median),", end=" ")
        print(f"{late[len(late) * 99 // 100] * 1e3:.1f} ms (p99), {late[-1] * 1e3:.1f} ms (worst)")


async def stream(late: list[float]) -> None:
    due = time.perf_counter() + random.random() * INTERVAL  # noqa: S311
    while True:
        await asyncio.sleep(max(0, due - time.perf_counter()))
        now = time.perf_counter()
        late.append(now - due)
        due = max(due + INTERVAL, now)


async def search(knowledge: LocalKnowledge) -> float:
    times = []
    for number in range(200):
        began = time.perf_counter()
        await knowledge.retrieve(f"word{number} and word{number + 1}", limit=12)
        times.append(time.perf_counter() - began)
    return sorted(times)[-2]


def lane() -> Lane:
    """Return the feeds lane alone."""
    diagram = load_diagram()
    tracks = tuple(track for track in diagram.tracks if track.name == "feeds")
    return bind(replace(diagram, tracks=tracks), MODULES).lane("feeds")


def make_files(folder: Path, count: int) -> Path:
    """Write Markdown files of 2 to 40 kB."""
    folder.mkdir()
    chance = random.Random(1)  # noqa: S311 - the same files in each run
    words = [f"word{number}" for number in range(5000)]
    for number in range(count):
        sections = chance.randrange(1, 20)
        text = f"# Document {number}\n\n" + "".join(
            f"## Section {section}\n\n{' '.join(chance.choices(words, k=250))}.\n\n"
            for section in range(sections)
        )
        (folder / f"{number}.md").write_text(text)
    assert len(find_files([folder], {".md"}).files) == count
    return folder


if __name__ == "__main__":
    main()
