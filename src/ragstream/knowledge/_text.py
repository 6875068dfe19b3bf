"""From bytes to text: what kind of file it is, and how it is encoded."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePath

from ragstream.errors import DocumentRejected, TypeMismatch, UnsupportedMediaType

__all__ = ["HTML", "MARKDOWN", "MEDIA_TYPES", "PDF", "PLAIN", "decode", "media_type"]

MARKDOWN = "text/markdown"
PLAIN = "text/plain"
HTML = "text/html"
PDF = "application/pdf"

MEDIA_TYPES = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".txt": PLAIN,
    ".text": PLAIN,
    ".rst": PLAIN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
}

_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"SQLite format 3\x00", "a database"),
)
_PDF_HEAD = 1024  # PDF allows that much before its mark
_BOMS = (  # the longer before the shorter that begins alike
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f]")
_MOST_CONTROL = 0.02  # share of control characters beyond which bytes are no text
_SAMPLE = 65_536
_NEWLINES = re.compile("\r\n?")


def media_type(name: str, data: bytes) -> str:
    """Return what a file is, by its name's ending, checked against its first bytes.

    Raises:
        UnsupportedMediaType: an ending that is not read here.
        TypeMismatch: the bytes are something else.
    """
    ending = PurePath(name).suffix.lower()
    claimed = MEDIA_TYPES.get(ending)
    if claimed is None:
        told = f"Files ending in {ending}" if ending else "Files without an ending in their name"
        raise UnsupportedMediaType(f"{told} are not read; these are: {', '.join(MEDIA_TYPES)}.")
    is_pdf = b"%PDF-" in data[:_PDF_HEAD]
    if claimed == PDF and not is_pdf:
        raise TypeMismatch(f"The file is not a PDF, though its name ends in {ending}.")
    if claimed != PDF:
        actual = "a PDF" if data.startswith(b"%PDF-") else _binary_kind(data)
        if actual:
            raise TypeMismatch(f"The file is {actual}, though its name ends in {ending}.")
    return claimed


def decode(data: bytes, *, declared: str | None = None) -> str:
    r"""Decode a text file; line breaks become ``\n``.

    A byte order mark decides, then a declared encoding that fits, then UTF-8. Zero bytes at every other
    place mean UTF-16. What is still undecided is UTF-8 with faults (U+FFFD stands for each) if most of its
    non-ASCII characters are well-formed UTF-8, else Windows-1252.

    Raises:
        DocumentRejected: the bytes are no text.
    """
    text = _decoded(data, declared)
    sample = text[:_SAMPLE]
    if "\0" in text or len(_CONTROL.findall(sample)) > _MOST_CONTROL * len(sample):
        raise DocumentRejected(
            "The file is not text: it has zero bytes or control characters. Save it as UTF-8 text.",
            code="document_not_text",
        )
    return _NEWLINES.sub("\n", text)


def _binary_kind(data: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _decoded(data: bytes, declared: str | None) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    for candidate in (declared, "utf-8"):
        try:
            if candidate and not (candidate == "utf-8" and b"\0" in data):
                return data.decode(candidate)
        except (UnicodeError, LookupError):
            continue
    if b"\0" in data:
        return data.decode(_utf16_kind(data), "replace")
    lenient = data.decode("utf-8", "replace")
    faults = lenient.count("\ufffd")
    wellformed = sum(1 for character in lenient if character > "\x7f") - faults
    return lenient if wellformed >= faults else data.decode("cp1252", "replace")


def _utf16_kind(data: bytes) -> str:
    """Tell UTF-16 without a byte order mark from where its zero bytes are; UTF-8 if it is not that."""
    sample = data[:_SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 10 * even and odd > len(sample) // 5:
        return "utf-16-le"
    if even > 10 * odd and even > len(sample) // 5:
        return "utf-16-be"
    return "utf-8"
