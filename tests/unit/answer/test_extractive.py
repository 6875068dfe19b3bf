from __future__ import annotations

import re
from contextlib import aclosing
from pathlib import Path

import pytest

from ragstream.answer.extractive import NOTHING, NOTHING_YET, ExtractiveAnswerer, extract
from ragstream.errors import ProviderError
from ragstream.events import EventType, ImagePart, ImageURL, Message, Passage, StreamEvent, TextPart
from ragstream.llm.base import ChatRequest

DOCS = Path(__file__).parents[3] / "docs"


def passage(text: str, *, title: str = "A page", start: int = 0) -> Passage:
    return Passage(
        id=text[:20],
        document_id=title,
        title=title,
        uri=title,
        text=text,
        start=start,
        end=start + len(text),
        score=0.5,
    )


LOGS = passage(
    "# Logs\n\nThe log of an **ended** answer is kept for 24 hours. After that it is deleted whole [7].\n\n"
    "A live log is never trimmed.",
    title="Logs",
)
STOPPING = passage(
    "# Stopping\n\nLeaving is not stopping. To stop an answer, send a cancel request:\n\n"
    "```sh\ncurl -X POST http://127.0.0.1/cancel\n```\n",
    title="Stopping",
)


def test_the_sentence_that_answers_is_quoted_whole_and_cited() -> None:
    assert extract("How long is a log kept?", [STOPPING, LOGS]) == (
        "The log of an ended answer is kept for 24 hours. [2]"
    )


def test_code_comes_with_the_sentence_that_announces_it() -> None:
    assert extract("How do I send a cancel request?", [STOPPING, LOGS]) == (
        "To stop an answer, send a cancel request: [1]\n\n```sh\ncurl -X POST http://127.0.0.1/cancel\n```"
    )


def test_neighbours_are_joined_and_others_become_a_list() -> None:
    page = passage(
        "A cat sleeps all day. A cat sleeps on the roof too.\n\nNothing here.\n\nOne cat sleeps never."
    )
    assert extract("Where does the cat sleep?", [page]) == (
        "- A cat sleeps all day. A cat sleeps on the roof too. [1]\n- One cat sleeps never. [1]"
    )


def test_a_question_in_the_text_leads_to_its_answer() -> None:
    faq = passage(
        "Can I read a stream twice?\n\nYes, as often as you like.\n\nIs it blue?\n\nNo, not at all."
    )
    assert extract("Can I read a stream twice?", [faq]) == "Yes, as often as you like. [1]"


def test_a_heading_alone_is_never_the_answer() -> None:
    page = passage(
        "# Retention of logs\n\nTwenty-four hours, then they go.\n\n# Other\n\nSomething else is said."
    )
    assert extract("What is the retention of logs?", [page]) == "Twenty-four hours, then they go. [1]"


@pytest.mark.parametrize(
    ("question", "passages"),
    [
        ("How long is a log kept?", []),
        ("What is the best recipe for chocolate cake?", [LOGS, STOPPING]),
        ("Which answer did Einstein give to Bohr about quantum theory?", [LOGS, STOPPING]),
        ("", [LOGS]),
        ("anything", [passage("")]),
    ],
)
def test_it_says_plainly_where_the_documents_hold_nothing(question: str, passages: list[Passage]) -> None:
    assert extract(question, passages) == NOTHING


@pytest.mark.parametrize(
    ("file", "question", "expected"),
    [
        ("how-to/stop-leave-come-back.md", "How do I stop an answer?", "stop button"),
        ("explanation/an-answer-is-a-log.md", "What is a cursor?", "the number of the last event"),
        ("how-to/connect-a-provider.md", "Where is the key read from?", "OPENAI_API_KEY"),
    ],
)
def test_it_answers_from_real_pages(file: str, question: str, expected: str) -> None:
    text = (DOCS / file).read_text(encoding="utf-8")
    page = passage(text, title=text.splitlines()[0].lstrip("# "))
    answer = extract(question, [page])
    assert expected in answer
    assert answer.endswith("[1]")
    assert not re.search(r"\*\*|^#|\]\(", answer)


def test_a_follow_up_is_answered_from_what_it_points_back_to() -> None:
    theme = passage("# Themes\n\nYou change the theme with one click.", title="Themes")
    port = passage("The port is 8000 at first. A port is a number. No port is free.", title="Listening")
    asked = "And how do I change it? port"
    assert "theme" in extract(asked, [theme, port])
    assert extract(asked, [theme, port], about=["port"]).startswith("The port is 8000 at first.")
    assert extract(asked, [theme], about=["port"]) == NOTHING


async def test_it_is_a_provider_that_streams_words() -> None:
    request = ChatRequest(
        messages=(
            Message(role="user", content="How long is a log kept?"),
            Message(role="assistant", content="24 hours."),
            Message(role="user", content="Why?"),
        ),
        passages=(LOGS,),
    )
    events: list[StreamEvent] = []
    async with aclosing(ExtractiveAnswerer().attempt(request)) as attempt:
        events = [event async for event in attempt]
    deltas = [event.text_delta.content for event in events if event.text_delta]
    assert "".join(deltas) == extract("How long is a log kept?", [LOGS])
    assert max(len(delta.split()) for delta in deltas) <= 3
    assert events[-1].type is EventType.MESSAGE_COMPLETE
    assert (events[-1].finish_reason, events[-1].usage) == ("stop", None)


async def test_a_picture_is_refused_and_not_overlooked() -> None:
    picture = ImagePart(ImageURL("https://example.org/a.png"))
    asked = Message(role="user", content=(TextPart("What is this?"), picture))
    with pytest.raises(ProviderError, match=r"cannot take images; messages\[0\] has one"):
        await anext(ExtractiveAnswerer().attempt(ChatRequest(messages=(asked,), passages=(LOGS,))))


@pytest.mark.parametrize(("is_reading", "said"), [(True, NOTHING_YET), (False, NOTHING)])
async def test_what_is_not_read_yet_is_not_said_to_be_missing(is_reading: bool, said: str) -> None:
    request = ChatRequest(
        messages=(Message(role="user", content="Where do quokkas live?"),), passages=(LOGS,)
    )
    async with aclosing(ExtractiveAnswerer(is_reading=lambda: is_reading).attempt(request)) as attempt:
        events = [event async for event in attempt]
    assert "".join(event.text_delta.content for event in events if event.text_delta) == said
