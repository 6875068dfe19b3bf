"""The terms of texts and of questions."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.knowledge import analyzer
from ragstream.knowledge.analyzer import question_terms, terms

SAMPLE = (
    "The users' settings weren't read: max_tokens=3.11, s, naïve Häuser, ﬁles \uff21\uff22. 東京都の天気は。 "
    "ภาษาไทย हिन्दी भाषा Привет мирами ελληνικά العربية 한국어 문장 x東京y"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Streams streaming streamed", ["stream", "stream", "stream"]),
        ("the user's files", ["the", "user", "file"]),
        ("max_tokens in Python 3.11", ["max", "token", "in", "python", "3", "11"]),
        ("ﬁle \uff21\uff22", ["file", "ab"]),
        ("東京都 in Tokyo", ["東京", "京都", "in", "tokyo"]),
        ("水", ["水"]),
        ("x東京y", ["x", "東京", "y"]),
        ("한국어", ["한국", "국어"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("हिन्दी", ["हिन्द"]),
        ("миром мирами", ["мир", "мир"]),
        ("", []),
        ("?! … --", []),
    ],
)
def test_a_text_becomes_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_a_thai_character_keeps_its_marks() -> None:
    assert terms("ที่นี่") == ["ที่นี่"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How do I stop a stream?", ["stop", "stream"]),
        ("What is the stream's stream?", ["stream"]),
        ("What is it?", ["what", "i", "it"]),
        ("", []),
    ],
)
def test_a_question_is_searched_by_its_telling_words(question: str, expected: list[str]) -> None:
    assert question_terms(question) == expected


@given(st.text())
def test_terms_are_words_that_the_index_takes_as_they_are(text: str) -> None:
    found = terms(text)
    assert " ".join(found).split() == found


@given(st.text())
def test_a_text_and_its_compatible_forms_have_the_same_terms(text: str) -> None:
    assert terms(unicodedata.normalize("NFKC", text)) == terms(text)


@given(st.text())
def test_a_question_is_found_in_a_text_that_repeats_it(text: str) -> None:
    assert set(question_terms(text)) <= set(terms(text))


@given(st.text(alphabet="abc '-_", max_size=30))
def test_case_does_not_matter(text: str) -> None:
    assert terms(text.upper()) == terms(text)


def test_other_terms_need_another_version() -> None:
    """If this fails, raise VERSION, so that every index is built again, and note it here."""
    digest = hashlib.sha256(" ".join(terms(SAMPLE)).encode()).hexdigest()[:12]
    assert (analyzer.VERSION, digest) == ("1", "750d1434842d")
