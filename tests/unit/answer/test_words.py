from __future__ import annotations

import pytest

from ragstream.answer.words import carried_over, content_words, pointed_at


def test_content_words_are_what_a_question_is_about() -> None:
    assert content_words("How do I configure the stream log's retention?") == [
        "configure",
        "stream",
        "log's",
        "retention",
    ]
    assert content_words("Wie lange werden die Protokolle behalten?") == ["lange", "protokolle", "behalten"]


@pytest.mark.parametrize(
    ("questions", "search"),
    [
        ([], ""),
        (["How long are logs kept?"], "How long are logs kept?"),
        (["How long are logs kept?", "And for Redis?"], "And for Redis? logs kept"),
        (["How long are logs kept?", "Why?"], "Why? logs kept"),
        (["How long are logs kept?", "And for Redis?", "Why?"], "Why? redis logs kept"),
        (["How long are logs kept?", "Can it be changed?"], "Can it be changed? logs kept"),
        (
            ["How long are logs kept?", "How do I cancel a running answer?"],
            "How do I cancel a running answer?",
        ),
        (["日志保存多久", "如何取消正在进行的回答"], "如何取消正在进行的回答"),
        (["日志保存多久", "???"], "??? 日志保存多久"),
    ],
)
def test_a_question_that_leans_on_earlier_ones_takes_their_words(questions: list[str], search: str) -> None:
    assert carried_over(questions) == search


@pytest.mark.parametrize(
    ("questions", "about"),
    [
        ([], []),
        (["How do I change that?"], []),
        (["How long are logs kept?", "And how do I change that?"], ["logs", "kept"]),
        (["How long are logs kept?", "And for Redis?"], []),  # may well be about Redis alone
        (
            ["How long are logs kept?", "Which keys does it show while a slow answer runs?"],
            [],
        ),  # stands on its own
    ],
)
def test_what_a_question_points_back_to(questions: list[str], about: list[str]) -> None:
    assert pointed_at(questions) == about
