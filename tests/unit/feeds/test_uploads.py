"""The names of uploaded files."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.errors import InvalidField
from ragstream.feeds.uploads import safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("notes.md", "notes.md"),
        ("../../etc/notes.md", "notes.md"),
        ("C:\\Users\\me\\notes.md", "notes.md"),
        ("my notes (1).md", "my notes (1).md"),
        ("a\0b\r\nc.md", "abc.md"),
        ("evil\u202edm.exe", "evildm.exe"),
        (".hidden.md", "hidden.md"),
        ("Gru\u0308ße.md", "Grüße.md"),
        ("x" * 300 + ".md", "x" * 147 + ".md"),
        ("a." + "x" * 300, "a." + "x" * 148),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text())
def test_any_name_is_made_safe_or_refused(name: str) -> None:
    try:
        safe = safe_name(name)
    except InvalidField:
        return
    assert 0 < len(safe) <= 150
    assert not set(safe) & set("/\\")
    assert all(unicodedata.category(character)[0] != "C" for character in safe)
