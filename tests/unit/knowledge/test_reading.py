"""Files become documents: every kind that is read, every encoding, every refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.errors import DocumentRejected, TypeMismatch, UnsupportedMediaType
from ragstream.knowledge._text import decode
from ragstream.knowledge.reading import read


def test_markdown_has_the_title_of_its_first_heading() -> None:
    document = read("guide.md", b"Intro\n\n# The guide\n\nText\n")
    assert (document.title, document.media_type) == ("The guide", "text/markdown")
    assert document.text == "Intro\n\n# The guide\n\nText\n"


@pytest.mark.parametrize("name", ["notes.txt", "notes.TEXT", "notes.rst"])
def test_plain_text_has_the_title_of_its_file(name: str) -> None:
    document = read(name, b"# no heading here\n")
    assert (document.title, document.media_type) == (name, "text/plain")
    assert document.chunks[0].heading is None


def test_html_keeps_its_shape() -> None:
    page = b"""<!doctype html><html><head><title>A &amp; B</title><style>no{}</style></head><body>
    <nav>no <b>menu</b></nav><script>no()</script>
    <h1>Hello <em>you</em></h1><p>One<br>two &lt;3<p>three
    <ul><li>first<li><p>second</p></ul>
    <pre>def f():
    return 1</pre>
    <table><tr><th>k<th>v</tr><tr><td>a</td><td>1</td></tr></table>last</body></html>"""
    document = read("page.html", page)
    assert document.title == "A & B"
    assert document.text == (
        "# Hello you\n\nOne\ntwo <3\n\nthree\n\n- first\n- second\n```\ndef f():\n    return 1\n```\n\n"
        "k | v\n\na | 1\n\nlast\n\n".rstrip("\n")
        + "\n"
    )
    assert document.chunks[0].heading == "Hello you"


def test_html_says_its_encoding() -> None:
    assert "Grüße" in read("a.html", '<meta charset="latin-1"><p>Grüße'.encode("latin-1")).text
    assert "Grüße" in read("a.html", '<meta charset="utf-16"><p>Grüße'.encode()).text


@pytest.mark.parametrize("page", [b"<nav>all<p>of it", b"<title>only", b"<p>&nbsp;</p>"])
def test_html_without_text_is_refused(page: bytes) -> None:
    with pytest.raises(DocumentRejected) as refusal:
        read("a.html", page)
    assert refusal.value.code == "document_empty"


def test_a_pdf_keeps_its_pages(make_pdf: Callable[..., bytes]) -> None:
    document = read("paper.pdf", make_pdf("First page", "Second page"))
    assert (document.title, document.media_type) == ("paper.pdf", "application/pdf")
    assert [chunk.page for chunk in document.chunks] == [1, 2]
    assert [document.text[chunk.start : chunk.end].strip() for chunk in document.chunks] == [
        "First page",
        "Second page",
    ]


def test_a_pdf_of_pictures_is_refused(make_pdf: Callable[..., bytes]) -> None:
    with pytest.raises(DocumentRejected, match="text recognition"):
        read("scan.pdf", make_pdf(" ", " "))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße €".encode(), "Grüße €"),
        ("Grüße €".encode("utf-8-sig"), "Grüße €"),
        ("Grüße €".encode("utf-16"), "Grüße €"),
        ("Grüße €".encode("utf-32"), "Grüße €"),
        ("Grüße an alle".encode("utf-16-le"), "Grüße an alle"),
        ("Grüße an alle".encode("utf-16-be"), "Grüße an alle"),
        ("Grüße €".encode("cp1252"), "Grüße €"),
        ("Größe, Füße, ".encode() + b"\xff", "Größe, Füße, \ufffd"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbf", ""),
    ],
)
def test_the_encoding_is_found(data: bytes, text: str) -> None:
    assert decode(data) == text


@pytest.mark.parametrize("data", [b"\0" * 100, b"text\0", bytes(range(1, 32)) * 20, b"\x1b[1m" * 99])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentRejected) as refusal:
        decode(data)
    assert refusal.value.code == "document_not_text"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf8_is_read_without_loss(text: str) -> None:
    assert decode(text.encode("utf-8-sig")) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in ("a.md", "a.txt", "a.html"):
        try:
            document = read(name, data)
        except (DocumentRejected, TypeMismatch):
            continue
        assert document.text.encode() is not None
        assert "".join(document.text[c.start : c.end] for c in document.chunks) == document.text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", b"<html>"),
        ("a.txt", b"%PDF-1.7\n"),
        ("a.md", b"PK\x03\x04rest"),
        ("a.html", b"\x89PNG\r\n\x1a\n"),
        ("a.txt", b"\x1f\x8b\x08rest"),
    ],
)
def test_a_file_must_be_what_its_name_says(name: str, data: bytes) -> None:
    with pytest.raises(TypeMismatch):
        read(name, data)


@pytest.mark.parametrize("name", ["a.docx", "a.pdf.exe", "a", "a.", ".md", "pdf"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"\.md, \.markdown"):
        read(name, b"text")


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentRejected) as refusal:
        read("a.txt", data)
    assert refusal.value.code == "document_empty"
