"""Runs over files: what is read, what is not read again, what leaves, what fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ragstream.errors import (
    BodyTooLarge,
    DocumentRejected,
    InvalidField,
    StorageUnavailable,
    TypeMismatch,
    UnsupportedMediaType,
)
from ragstream.feeds import Ingest, IngestStatus
from ragstream.knowledge import LocalKnowledge

Write = Callable[..., Path]


def counts(status: IngestStatus) -> dict[str, int]:
    names = ("added", "changed", "unchanged", "removed")
    told = {name: getattr(status, name) for name in names} | {"failed": len(status.failed)}
    return {name: count for name, count in told.items() if count}


async def uris(knowledge: LocalKnowledge) -> set[str]:
    return {os.path.basename(document.uri) for document in await knowledge.documents()}  # noqa: PTH119


async def test_what_was_read_is_found(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("guide.md", "# Guide\n\n## Zebras\n\nStripes.\n")
    write("sub/page.html", "<title>Page</title><p>Zebras in HTML")
    status = await ingest.run([docs])
    assert counts(status) == {"added": 2}
    assert (status.files_done, status.files_total, status.chunks, status.running) == (2, 2, 2, False)
    passages = await knowledge.retrieve("zebras", limit=5)
    assert {(passage.title, passage.heading) for passage in passages} == {("Guide", "Zebras"), ("Page", None)}


async def test_a_second_run_parses_nothing_and_opens_nothing(
    ingest: Ingest, parser: object, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write(f"{number}.md", f"text {number}")
    await ingest.run([docs])
    assert len(parser.names) == 5  # type: ignore[attr-defined]
    monkeypatch.setattr("ragstream.feeds.ingest._read_and_hash", None)
    assert counts(await ingest.run([docs])) == {"unchanged": 5}
    assert len(parser.names) == 5  # type: ignore[attr-defined]


async def test_a_file_that_was_only_touched_is_not_parsed(
    ingest: Ingest, parser: object, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.md", "text")
    await ingest.run([docs])
    os.utime(path, (1_000_000, 1_000_000))
    assert counts(await ingest.run([docs])) == {"unchanged": 1}
    assert len(parser.names) == 1  # type: ignore[attr-defined]
    monkeypatch.setattr("ragstream.feeds.ingest._read_and_hash", None)  # its new stamp is known now
    assert counts(await ingest.run([docs])) == {"unchanged": 1}


async def test_a_file_changed_within_a_moment_is_read_again(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path
) -> None:
    path = docs / "a.txt"
    path.write_text("apples")
    status = path.stat()
    await ingest.run([docs])
    path.write_text("cherry")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time
    assert counts(await ingest.run([docs])) == {"changed": 1}
    assert await knowledge.retrieve("cherry", limit=1)


async def test_a_changed_file_replaces_what_it_said(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.md", "apples")
    await ingest.run([docs])
    [before] = await knowledge.documents()
    write("a.md", "bananas, a longer text")
    assert counts(await ingest.run([docs])) == {"changed": 1}
    [after] = await knowledge.documents()
    assert after.id == before.id
    assert await knowledge.retrieve("apples", limit=1) == ()
    assert await knowledge.retrieve("bananas", limit=1)


async def test_a_removed_file_leaves(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.md", "apples")
    write("sub/b.md", "apples and bananas")
    await ingest.run([docs])
    (docs / "a.md").unlink()
    assert counts(await ingest.run([docs])) == {"unchanged": 1, "removed": 1}
    assert [passage.text for passage in await knowledge.retrieve("apples", limit=5)] == ["apples and bananas"]


async def test_what_is_ignored_from_now_on_leaves(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.md")
    write("b.md")
    await ingest.run([docs])
    write(".gitignore", "b.md")
    assert counts(await ingest.run([docs])) == {"unchanged": 1, "removed": 1}


async def test_only_what_is_below_the_given_roots_can_leave(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    a, b = write("one/a.md"), write("two/b.md")
    await ingest.run([docs])
    a.unlink()
    b.unlink()
    assert counts(await ingest.run([docs / "one"])) == {"removed": 1}
    assert await uris(knowledge) == {"b.md"}


async def test_a_root_that_is_missing_removes_nothing(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.md")
    await ingest.run([docs])
    docs.rename(docs.with_name("unmounted"))  # noqa: ASYNC240
    assert counts(await ingest.run([docs])) == {"failed": 1}
    assert await uris(knowledge) == {"a.md"}


async def test_a_bad_file_does_not_stop_the_rest(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.md", "apples")
    write("b.pdf", "%PDF-1.7 broken")
    write("c.pdf", "no pdf at all")
    write("d.txt", bytes(1000))
    write("e.md", " \n")
    write("f.md", "bananas")
    status = await ingest.run([docs, write("g.docx")])
    assert counts(status) == {"added": 2, "failed": 5}
    assert status.files_done == status.files_total == 7
    reasons = {os.path.basename(failed.uri): failed.reason for failed in status.failed}  # noqa: PTH119
    assert set(reasons) == {"b.pdf", "c.pdf", "d.txt", "e.md", "g.docx"}
    assert all(reason.endswith(".") for reason in reasons.values())
    assert counts(await ingest.run([docs])) == {"unchanged": 2, "failed": 4}


async def test_a_file_that_became_bad_keeps_what_was_read_of_it(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    write("a.txt", "apples")
    await ingest.run([docs])
    write("a.txt", bytes(1000))
    assert counts(await ingest.run([docs])) == {"failed": 1}
    assert await knowledge.retrieve("apples", limit=1)


async def test_a_file_over_the_limit_is_not_even_opened(
    ingest: Ingest, parser: object, docs: Path, write: Write
) -> None:
    write("a.txt", "x" * 100)
    parser.largest = 99  # type: ignore[attr-defined]
    [failed] = (await ingest.run([docs])).failed
    assert failed.reason == "The file is larger than the limit of 99 bytes."


async def test_a_run_tells_how_far_it_has_come(
    ingest: Ingest, told: object, docs: Path, write: Write
) -> None:
    for number in range(4):
        write(f"{number}.md", f"text {number}")
    assert ingest.status() == IngestStatus()
    report = await ingest.run([docs])
    statuses: list[IngestStatus] = told.statuses  # type: ignore[attr-defined]
    assert [status.files_done for status in statuses] == [1, 2, 3, 4]
    assert all(status.running and status.files_total == 4 for status in statuses)
    assert statuses[-1].eta == 0
    assert statuses[0].eta is not None
    assert statuses[0].eta > 0
    assert all(status.rate > 0 for status in statuses)
    assert ingest.status() == report
    assert report.eta is None


async def test_a_run_can_be_cancelled_and_taken_up_again(
    ingest: Ingest, told: object, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    for number in range(30):
        write(f"{number:02}.md", f"apples {number}")
    running = asyncio.create_task(ingest.run([docs]))
    async with asyncio.timeout(30):
        while ingest.status().files_done < 3:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ingest.status().running is False
    kept = (await knowledge.size()).documents
    assert 3 <= kept < 30
    assert counts(await ingest.run([docs])) == {"added": 30 - kept, "unchanged": kept}
    assert (await knowledge.size()).documents == 30


async def test_runs_take_turns(ingest: Ingest, docs: Path, write: Write) -> None:
    for number in range(6):
        write(f"{number}.md", f"text {number}")
    first, second = await asyncio.gather(ingest.run([docs]), ingest.run([docs]))
    assert (counts(first), counts(second)) == ({"added": 6}, {"unchanged": 6})


async def test_a_store_that_fails_ends_the_run(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    for number in range(6):
        write(f"{number}.md")
    assert knowledge._ticking is not None
    knowledge._ticking.cancel()  # closing forbids that another thread uses a connection
    await asyncio.wait({knowledge._ticking})
    await asyncio.wrap_future(knowledge._indexer.submit(int))
    knowledge._store.close()
    (docs.parent / "data" / "knowledge.db").write_bytes(b"no database any more" * 1000)
    with pytest.raises(StorageUnavailable):
        await ingest.run([docs])
    assert ingest.status().running is False


async def test_an_upload_is_found_at_once(ingest: Ingest, knowledge: LocalKnowledge) -> None:
    document = await ingest.add("notes.md", b"# My notes\n\nZebras.\n")
    assert (document.title, document.uri) == ("My notes", "upload:notes.md")
    [passage] = await knowledge.retrieve("zebras", limit=5)
    assert passage.document_id == document.id


async def test_the_same_name_again_replaces_an_upload(ingest: Ingest, knowledge: LocalKnowledge) -> None:
    first = await ingest.add("notes.md", b"Zebras.")
    second = await ingest.add("folder/notes.md", b"Lions.")
    assert second.id == first.id
    assert await knowledge.retrieve("zebras", limit=5) == ()


async def test_no_run_removes_an_upload(
    ingest: Ingest, knowledge: LocalKnowledge, docs: Path, write: Write
) -> None:
    await ingest.add("notes.md", b"Zebras.")
    await ingest.run([docs, Path("/dev/null")])
    assert await knowledge.retrieve("zebras", limit=5)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.md", b"x" * 101, BodyTooLarge),
        ("a.pdf", b"<html>", TypeMismatch),
        ("a.txt", b"%PDF-1.7", TypeMismatch),
        ("a.pdf.exe", b"MZ\x90", UnsupportedMediaType),
        ("a", b"text", UnsupportedMediaType),
        ("a.md", b"", DocumentRejected),
        ("a.pdf", b"%PDF-1.7", DocumentRejected),
        ("", b"text", InvalidField),
        ("../..", b"text", InvalidField),
        ("\0\r\n\u202e", b"text", InvalidField),
    ],
)
async def test_a_bad_upload_is_refused(
    name: str, data: bytes, error: type[Exception], ingest: Ingest, parser: object, knowledge: LocalKnowledge
) -> None:
    parser.largest = 100  # type: ignore[attr-defined]
    with pytest.raises(error):
        await ingest.add(name, data)
    assert (await knowledge.size()).documents == 0
