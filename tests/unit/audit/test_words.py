"""Words made comparable."""

from __future__ import annotations

import pytest

from ragstream.audit.words import alternatives, stems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hybrid_search", ["hybrid", "search"]),
        ("ChatEngine", ["chat", "engin"]),
        ("HTTPServer2x", ["http", "server"]),
        ("Retrieves the passages", ["retriev", "passag"]),
        ("Frage stellen über", ["frage", "stellen", "über"]),
        ("a of it", []),
    ],
)
def test_identifiers_and_prose(text: str, words: list[str]) -> None:
    assert list(stems(text)) == words


def test_other_words_for_the_same_count_less() -> None:
    (retrieve,), (search,) = list(stems("retrieve")), list(stems("search"))
    assert alternatives(retrieve)[retrieve] == 1.0
    assert 0 < alternatives(retrieve)[search] < 1
    assert alternatives("zebra") == {"zebra": 1.0}
