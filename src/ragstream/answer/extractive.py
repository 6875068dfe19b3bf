"""Answers without a model: the sentences that answer are quoted from the passages.

A sentence scores the weight of the question's terms that it has, and half the weight of those that only its
surroundings have: the headings above it, the question it replies to, the code or list it announces. A term
weighs what BM25 makes of its rarity (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009),
rarity being counted among the sentences at hand.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ragstream.answer.sentences import Sentence, sentences
from ragstream.answer.words import carried_over, content_words, pointed_at
from ragstream.events import EventType, Passage, StreamEvent, TextDelta
from ragstream.knowledge import question_terms, terms
from ragstream.llm.base import ChatRequest
from ragstream.llm.wire import Feature, check_input

__all__ = ["NOTHING", "NOTHING_YET", "ExtractiveAnswerer", "extract"]

NOTHING = "The documents say nothing about this, as far as I can see. Try other words, or add a document."
NOTHING_YET = (
    "The documents are still being read; what was read says nothing about this. Ask again in a moment."
)
_MOST = 4  # sentences
_GOOD = 0.7  # of the best score: what else is quoted
_ENOUGH = 0.55  # of the question's weight: what the best passage must carry to be an answer
_WORDS_AT_ONCE = 3
_TAKES: frozenset[Feature] = frozenset({"tools"})  # which it never calls
_WHOLE = re.compile(r"(?!(?:It|This|That|These|They)\b)[^a-z].*[.!:\u3002\uff01\uff1a]\W*$", re.DOTALL)
_GROUP = re.compile(rf"\s*(?:\S+\s*){{1,{_WORDS_AT_ONCE}}}")


class ExtractiveAnswerer:
    """A provider that needs no model, no key and no network. Tokens are not counted: there are none.

    Args:
        is_reading: whether documents are being read at the moment, so that more may be known soon.
    """

    name = "extractive"
    model = "extractive"

    def __init__(self, *, is_reading: Callable[[], bool] = lambda: False) -> None:
        self._is_reading = is_reading

    async def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Quote what answers the last question, a few words at a time; see ``Provider.attempt``."""
        check_input(request, self.name, takes=_TAKES)
        questions = [message.text for message in request.messages if message.role == "user"]
        said = extract(carried_over(questions), request.passages, about=pointed_at(questions))
        if said == NOTHING and self._is_reading():
            said = NOTHING_YET
        for group in _GROUP.findall(said):
            yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=group))
            await asyncio.sleep(0)  # other answers are being written in this loop, too
        yield StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", model=self.model)

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    number: int  # of its passage, as cited
    place: int  # among the sentences of the passage
    sentence: Sentence
    terms: frozenset[str]
    around: frozenset[str]  # terms of what it belongs to
    length: int  # words


def extract(question: str, passages: Sequence[Passage], *, about: Sequence[str] = ()) -> str:
    """Return the sentences of the passages that answer the question, with ``[n]`` markers, or ``NOTHING``.

    ``about``: words that a follow-up points back to; what is quoted has to be about them.
    """
    asked = question_terms(" ".join(content_words(question)) or question)
    candidates = [one for number, passage in enumerate(passages, 1) for one in _candidates(number, passage)]
    weights = _weights(asked, candidates)
    if about:
        topic = _weights(question_terms(" ".join(about)), candidates)
        candidates = [one for one in candidates if _has_enough(one.terms | one.around, topic)]
    if not (candidates if about else _answerable(weights, candidates)):
        return NOTHING
    ranked = sorted(((_score(one, weights), one) for one in candidates), key=lambda pair: -pair[0])
    bar = _GOOD * ranked[0][0]
    chosen: list[_Candidate] = []
    for score, one in ranked:
        if len(chosen) == _MOST or score < bar:
            break
        if not any(_alike(one, other) for other in chosen):
            chosen.append(one)
    return _written(list(_joined(chosen)))


def _candidates(number: int, passage: Passage) -> Iterator[_Candidate]:
    above = cache(lambda heading: frozenset(terms(f"{passage.title} {passage.heading or ''} {heading}")))
    posed = ""  # a question that the text itself asks is a heading, and no answer
    for place, sentence in enumerate(sentences(passage.text, cut=passage.start > 0)):
        if sentence.text.endswith(("?", "\uff1f")):
            posed = sentence.text
            continue
        found = terms(sentence.text)
        around = above(sentence.heading).union(terms(f"{sentence.tail} {posed}"))
        posed = ""
        yield _Candidate(number, place, sentence, frozenset(found), around, len(found))


def _weights(asked: Collection[str], candidates: Sequence[_Candidate]) -> Mapping[str, float]:
    count = len(candidates)
    having = Counter(term for one in candidates for term in one.terms | one.around)
    seen = {term: max(having[term], 1) for term in asked}  # what nobody has is as telling as what one has
    return {term: math.log1p((count - known + 0.5) / (known + 0.5)) for term, known in seen.items()}


def _answerable(weights: Mapping[str, float], candidates: Sequence[_Candidate]) -> bool:
    """Return whether one passage has enough of what was asked for."""
    by_passage: dict[int, set[str]] = {}
    for one in candidates:
        by_passage.setdefault(one.number, set()).update(one.terms, one.around)
    return any(_has_enough(found, weights) for found in by_passage.values())


def _has_enough(found: Collection[str], weights: Mapping[str, float]) -> bool:
    weight = _weight(found, weights)
    return weight > 0 and weight >= _ENOUGH * sum(weights.values())


def _weight(found: Collection[str], weights: Mapping[str, float]) -> float:
    return sum(weight for term, weight in weights.items() if term in found)


def _score(one: _Candidate, weights: Mapping[str, float]) -> float:
    score = _weight(one.terms, weights) + 0.5 * _weight(one.around - one.terms, weights)
    if not 4 <= one.length <= 60:  # a fragment says too little, a monster too much
        score *= 0.7
    if not _WHOLE.match(one.sentence.text):  # rows, items, and what leans on the sentence before it
        score *= 0.85
    return score * (1 - 0.03 * min(one.number - 1, 10))


def _alike(one: _Candidate, other: _Candidate) -> bool:
    return len(one.terms & other.terms) > 0.8 * min(len(one.terms), len(other.terms))


def _joined(chosen: Sequence[_Candidate]) -> Iterator[list[_Candidate]]:
    """Yield what is read in one go together, the best first."""
    left = list(chosen)
    while left:
        group = [left.pop(0)]
        while neighbour := next((one for one in left if _adjacent(one, group)), None):
            left.remove(neighbour)
            group = sorted([*group, neighbour], key=lambda one: one.place)
        yield group


def _adjacent(one: _Candidate, group: Sequence[_Candidate]) -> bool:
    first, last = group[0], group[-1]
    same = one.number == first.number and one.sentence.block == first.sentence.block
    return same and (one.place == first.place - 1 or one.place == last.place + 1)


def _written(groups: Sequence[Sequence[_Candidate]]) -> str:
    quotes: list[str] = []
    tails = any(one.sentence.tail for group in groups for one in group)
    for group in groups:
        quote = f"{' '.join(one.sentence.text for one in group)} [{group[0].number}]"
        tail = group[-1].sentence.tail
        quotes.append(f"{quote}\n\n{tail}" if tail else quote)
    if len(quotes) > 1 and not tails:
        return "\n".join(f"- {quote}" for quote in quotes)
    return "\n\n".join(quotes)
