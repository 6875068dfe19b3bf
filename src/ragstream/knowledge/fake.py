"""A retriever for tests: finds what it was given, by the words in it."""

from __future__ import annotations

from ragstream.events import Passage
from ragstream.knowledge.analyzer import question_terms, terms

__all__ = ["FakeRetriever"]


class FakeRetriever:
    """A ``Retriever`` over a few texts, without files; keeps the queries that it was asked.

    A passage's score is the share of the query's terms that it has.
    """

    def __init__(self, *texts: str, fails: Exception | None = None) -> None:
        """Take texts, which get the ids 1, 2, ...; with ``fails`` each search raises that."""
        self.queries: list[str] = []
        self._texts = texts
        self._fails = fails

    async def retrieve(self, query: str, *, limit: int) -> tuple[Passage, ...]:
        """Return the texts that share terms with the query, best first."""
        self.queries.append(query)
        if self._fails is not None:
            raise self._fails
        asked = set(question_terms(query))
        shares = {
            number: len(asked.intersection(terms(text))) / len(asked) if asked else 0.0
            for number, text in enumerate(self._texts)
        }
        best = sorted(filter(shares.__getitem__, shares), key=lambda number: -shares[number])
        return tuple(self._passage(number, shares[number]) for number in best[:limit])

    def _passage(self, number: int, score: float) -> Passage:
        text, name = self._texts[number], str(number + 1)
        title = f"Text {name}"
        return Passage(
            id=name, document_id=name, title=title, uri=title, text=text, start=0, end=len(text), score=score
        )
