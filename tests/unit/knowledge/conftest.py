"""A knowledge base in a temporary folder, and ways to fill it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium_c  # type: ignore[import-untyped]
import pytest

from ragstream.knowledge import Document, LocalKnowledge, Origin
from ragstream.knowledge.reading import read
from ragstream.knowledge.sqlite import DocumentStore

Put = Callable[[str, str], Awaitable[Document]]
Store = Callable[[str, str], Document]


@pytest.fixture
async def knowledge(tmp_path: Path) -> AsyncIterator[LocalKnowledge]:
    opened = LocalKnowledge(tmp_path)
    await opened.start()
    yield opened
    await opened.aclose()


@pytest.fixture
def put(knowledge: LocalKnowledge) -> Put:
    """Return what adds a document and makes it found."""

    async def add(name: str, text: str) -> Document:
        document = await knowledge.put(_origin(name, text), read(name, text.encode()))
        assert await knowledge.catch_up()
        return document

    return add


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    opened = DocumentStore(tmp_path / "knowledge.db")
    opened.open()
    return opened


@pytest.fixture
def keep(store: DocumentStore) -> Store:
    """Return what stores a document."""
    return lambda name, text: store.put(_origin(name, text), read(name, text.encode()))


@pytest.fixture(scope="session")
def make_pdf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Return what makes a PDF with one line of text a page."""
    return lambda *pages: _pdf(tmp_path_factory.mktemp("pdf") / "made.pdf", pages)


def _origin(name: str, text: str) -> Origin:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Origin(location=f"/docs/{name}", uri=name, content_hash=digest, stamp="1")


def _pdf(path: Path, pages: tuple[str, ...]) -> bytes:
    document = pdfium.PdfDocument.new()
    font = pdfium_c.FPDFText_LoadStandardFont(document, b"Helvetica")
    for line in pages:
        page = document.new_page(612, 792)
        text = pdfium_c.FPDFPageObj_CreateTextObj(document, font, 12)
        words = (line + "\0").encode("utf-16-le")
        pdfium_c.FPDFText_SetText(text, pdfium_c.cast(words, pdfium_c.FPDF_WIDESTRING))
        pdfium_c.FPDFPageObj_Transform(text, 1, 0, 0, 1, 50, 700)
        pdfium_c.FPDFPage_InsertObject(page, text)
        pdfium_c.FPDFPage_GenerateContent(page)
    document.save(str(path))
    document.close()
    return path.read_bytes()
