"""From PDF to text, page by page. Runs in the limited worker: a hostile file may abort the process."""

from __future__ import annotations

import re

import pypdfium2  # type: ignore[import-untyped]  # it has none

from ragstream.errors import DocumentRejected

__all__ = ["pdf_to_text"]

_MOST_PAGES = 20_000
_MOST_CHARACTERS = 50_000_000
_HYPHENATED = re.compile("[\x02\ufffe]\n?")  # how PDFium marks a word that was divided at a line's end
_UNWANTED = re.compile("[\0\x01\x03-\x08\x0b\x0c\x0e-\x1f]")
_FILE_NAME = re.compile(r"\.\w{1,5}$|^(?:untitled|microsoft word)", re.IGNORECASE)


def pdf_to_text(data: bytes) -> tuple[str | None, str, list[int]]:
    """Return the title, if the file tells a useful one, the text, and the offset at which each page begins.

    Raises:
        DocumentRejected: broken, encrypted, or beyond the limits.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise _rejected(error) from error
    try:
        if len(document) > _MOST_PAGES:
            raise DocumentRejected(
                f"The PDF has {len(document)} pages; at most {_MOST_PAGES} are read. Split it.",
                code="document_too_large",
            )
        return _title(document), *_text(document)
    finally:
        document.close()


def _text(document: pypdfium2.PdfDocument) -> tuple[str, list[int]]:
    pages: list[str] = []
    starts: list[int] = []
    length = 0
    for number in range(len(document)):
        text = _page_text(document, number)
        starts.append(length)
        length += len(text)
        if length > _MOST_CHARACTERS:
            raise DocumentRejected("The PDF holds too much text once unpacked.", code="document_too_large")
        pages.append(text)
    return "".join(pages), starts


def _page_text(document: pypdfium2.PdfDocument, number: int) -> str:
    """Return a page's text, ended by an empty line; a page that cannot be read is empty."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return "\n\n"
    try:
        textpage = page.get_textpage()
        try:
            raw = textpage.get_text_range()
        finally:
            textpage.close()
    finally:
        page.close()
    lines = raw.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("", _HYPHENATED.sub("", lines)).strip("\n") + "\n\n"


def _title(document: pypdfium2.PdfDocument) -> str | None:
    title = " ".join(document.get_metadata_value("Title").split())
    return None if not title or _FILE_NAME.search(title) else title[:300]


def _rejected(error: pypdfium2.PdfiumError) -> DocumentRejected:
    if "password" in str(error).lower():
        return DocumentRejected(
            "The PDF is encrypted. Save it without a password.", code="document_encrypted"
        )
    return DocumentRejected("The PDF is broken or cut off: it cannot be opened.")
