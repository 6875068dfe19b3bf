"""Files that are meant to hurt, or merely broken: each is refused clearly, and the next one is read."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ragstream.errors import DocumentRejected, RagstreamError, TypeMismatch, Unavailable
from ragstream.knowledge import Limits, SubprocessParser

SECONDS = 40  # for what must end within 30


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the root."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R%s>>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)


def page_with(content: bytes) -> bytes:
    return pdf(CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", PAGE + b"/Contents 4 0 R>>", content)


def flate_bomb(layers: int) -> bytes:
    """Return a page whose content inflates to 3 GB."""
    length = 3000 << 20
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # depends on none before it
    checksum = length % 65521 << 16 | 1  # Adler-32 of zeros
    data = first + block * (length - 1 >> 20) + b"\x03\x00" + checksum.to_bytes(4, "big")
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    return page_with(stream(b"/Filter[%s]" % (b"/FlateDecode " * layers), data))


CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]"
PAGES = b"<</Type/Pages/Parent 2 0 R/Kids[%s]/Count %d>>"
ENCRYPTION = b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -44>>" % (b"00" * 32, b"11" * 32)
ID = b"/ID[<%s><%s>]" % (b"ab" * 16, b"ab" * 16)
WHOLE = page_with(stream(b"", b"BT /F1 12 Tf (Hello) Tj ET"))

LARGE, SLOW, BROKEN = "document_too_large", "document_too_slow", "document_unprocessable"
EMPTY = "document_empty"


@pytest.fixture
async def parser() -> AsyncIterator[SubprocessParser]:
    made = SubprocessParser(workers=2)
    yield made
    await made.aclose()


async def refusal(parser: SubprocessParser, name: str, data: bytes) -> RagstreamError:
    """Return why a file is refused, after seeing that the next one is read."""
    async with asyncio.timeout(SECONDS):
        with pytest.raises(RagstreamError) as caught:
            await parser.parse(name, data)
        assert (await parser.parse("next.txt", b"fine")).text == "fine"
    return caught.value


@pytest.mark.parametrize("layers", [1, 2, 3])
async def test_a_pdf_that_inflates_without_end_is_refused(parser: SubprocessParser, layers: int) -> None:
    error = await refusal(parser, "bomb.pdf", flate_bomb(layers))
    assert (error.code, error.status) == (LARGE, 422)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        pytest.param(pdf(CATALOG, PAGES % (b"3 0 R", 9), PAGES % (b"2 0 R", 9)), {EMPTY}, id="page loop"),
        pytest.param(pdf(CATALOG, PAGES % (b"2 0 R", 9)), {EMPTY}, id="page its own parent"),
        pytest.param(pdf(CATALOG, PAGES % (b"3 0 R", 1_000_000), PAGE + b">>"), {LARGE}, id="million pages"),
        pytest.param(
            pdf(CATALOG, PAGES % (b"3 0 R", 1), PAGE + b">>", ENCRYPTION, trailer=b"/Encrypt 4 0 R" + ID),
            {"document_encrypted"},
            id="encrypted",
        ),
        pytest.param(WHOLE[: len(WHOLE) // 2], {BROKEN}, id="truncated"),
        pytest.param(WHOLE[:40], {BROKEN}, id="head alone"),
        pytest.param(b"%PDF-1.7\n" + os.urandom(100_000), {BROKEN}, id="noise"),
        pytest.param(b"%PDF-1.7\n" + b"[" * 5_000_000, {BROKEN}, id="nesting"),
        pytest.param(page_with(stream(b"", b"q " * 5_000_000)), {EMPTY}, id="graphics stack"),
    ],
)
async def test_a_hostile_or_broken_pdf_is_refused(
    parser: SubprocessParser, data: bytes, codes: set[str]
) -> None:
    assert (await refusal(parser, "file.pdf", data)).code in codes


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("nul.txt", bytes(1_000_000), "document_not_text"),
        ("empty.txt", b"", EMPTY),
        ("binary.md", os.urandom(100_000), "document_not_text"),
        ("archive.txt", b"PK\x03\x04" + bytes(100), TypeMismatch.code),
        ("depth.html", b"<div>" * 1_000_000, EMPTY),
    ],
)
async def test_what_is_no_text_is_refused(
    parser: SubprocessParser, name: str, data: bytes, code: str
) -> None:
    assert (await refusal(parser, name, data)).code == code


async def test_a_file_over_the_size_limit_is_refused_unread(parser: SubprocessParser) -> None:
    assert (await refusal(parser, "line.txt", b"x" * 100_000_000)).code == LARGE


async def test_a_line_without_end_is_cut(parser: SubprocessParser) -> None:
    async with asyncio.timeout(SECONDS):
        document = await parser.parse("line.txt", b"x" * 10_000_000)
    assert document.chunks[-1].end == 10_000_000


async def test_entities_are_not_expanded(parser: SubprocessParser) -> None:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    document = await parser.parse("laugh.html", b"<!DOCTYPE x [<!ENTITY l0 'ha'>%s]><p>&l9;" % laughs)
    assert len(document.text) < 2000


async def test_files_read_beside_a_bomb_are_not_hurt(parser: SubprocessParser) -> None:
    async with asyncio.timeout(SECONDS):
        bomb = asyncio.create_task(parser.parse("bomb.pdf", flate_bomb(2)))
        for number in range(20):
            assert (await parser.parse(f"{number}.txt", b"fine")).text == "fine"
        with pytest.raises(DocumentRejected):
            await bomb


async def test_processor_time_is_limited() -> None:
    parser = SubprocessParser(workers=1, limits=Limits(cpu=1, wall=SECONDS))
    try:
        error = await refusal(parser, "slow.md", b"# a\n\n**word** _x_\n" * 2_000_000)
    finally:
        await parser.aclose()
    assert (error.code, error.status) == (SLOW, 422)


async def test_waiting_is_limited_even_where_no_processor_time_is_used() -> None:
    parser = SubprocessParser(workers=1, limits=Limits(wall=1.0))
    try:
        await parser.parse("a.txt", b"fine")
        [worker] = parser._idle
        worker._process.send_signal(signal.SIGSTOP)
        assert (await refusal(parser, "b.txt", b"fine")).code == SLOW
    finally:
        await parser.aclose()


async def test_a_worker_that_died_idle_is_replaced(parser: SubprocessParser) -> None:
    await parser.parse("a.txt", b"fine")
    [worker] = parser._idle
    worker._process.kill()
    await worker._process.wait()
    assert (await parser.parse("b.txt", b"fine")).text == "fine"


async def test_a_worker_is_reused(parser: SubprocessParser) -> None:
    large = bytearray(500 << 20)  # what this process has must not count as the worker's
    large[::4096] = b"x" * len(large[::4096])
    await parser.parse("a.txt", b"fine")
    [first] = parser._idle
    await parser.parse("b.txt", b"fine")
    assert parser._idle == [first]


async def test_a_cancelled_job_stops_its_worker(parser: SubprocessParser) -> None:
    await parser.parse("a.txt", b"fine")
    [worker] = parser._idle
    worker._process.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await parser.parse("b.txt", b"fine")
    assert not worker.alive
    assert parser._idle == []


async def test_a_worker_sees_none_of_our_keys(
    parser: SubprocessParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    await parser.parse("a.txt", b"fine")
    [worker] = parser._idle
    assert b"canary" not in Path(f"/proc/{worker._process.pid}/environ").read_bytes()  # noqa: ASYNC240


async def test_a_worker_that_cannot_start_is_our_fault_and_not_the_file_s(
    parser: SubprocessParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unavailable):
        await parser.parse("a.txt", b"fine")


async def test_closing_leaves_no_process(parser: SubprocessParser) -> None:
    await asyncio.gather(*(parser.parse(f"{number}.txt", b"fine") for number in range(4)))
    workers = list(parser._idle)
    assert len(workers) == 2
    await parser.aclose()
    assert [worker.alive for worker in workers] == [False, False]
