"""Read a file of any kind that is known: extract its text and cut it.

These are plain functions without limits. Files of others go through ``parsing.SubprocessParser``, which runs
them in a process of its own.
"""

from __future__ import annotations

from pathlib import PurePath

from ragstream.errors import DocumentRejected
from ragstream.knowledge import _text
from ragstream.knowledge._markdown import Heading, headings
from ragstream.knowledge.base import ParsedDocument
from ragstream.knowledge.chunking import cut

__all__ = ["read"]


def read(name: str, data: bytes) -> ParsedDocument:
    """Extract the text of a file and cut it into chunks.

    The title is the file's own (a PDF's or a page's), else the first heading, else the file's name.

    Raises:
        UnsupportedMediaType: an ending that is not read here.
        TypeMismatch: the bytes are not what the ending says.
        DocumentRejected: broken, encrypted, without text, or too large.
    """
    kind = _text.media_type(name, data)
    title, text, pages = _extract(kind, data)
    if not text.strip():
        reason = "it may be scanned pictures: run text recognition first" if pages else "it is empty"
        raise DocumentRejected(f"The file holds no text; {reason}.", code="document_empty")
    marks = headings(text) if kind in (_text.MARKDOWN, _text.HTML) else []
    title = title or _first(marks) or PurePath(name).name
    chunks = cut(text, headings=marks, pages=pages, title=title)
    return ParsedDocument(title=title, media_type=kind, text=text, chunks=chunks)


def _extract(kind: str, data: bytes) -> tuple[str | None, str, list[int]]:
    if kind == _text.PDF:
        from ragstream.knowledge._pdf import pdf_to_text  # here: PDFium is large, and seldom needed

        return pdf_to_text(data)
    if kind == _text.HTML:
        from ragstream.knowledge._html import html_to_markdown

        return *html_to_markdown(data), []
    return None, _text.decode(data), []


def _first(marks: list[Heading]) -> str | None:
    return marks[0].text if marks else None
