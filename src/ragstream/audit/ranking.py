"""Ranking: which symbols of a code base may do a step, by the words that both use.

BM25F (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009): the counts of
a word in a symbol's fields are weighted, added, and only then saturated, so that a word in name and docstring
is not counted as two. A score is a share of what a symbol would get that has every word of the step in its
name and in its docstring: so scores of different steps compare, and words that no code has count against all.

Only the words of the steps are counted, and a file is forgotten once it is read: memory grows with the number
of symbols that share words with the diagram.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import log

from ragstream.audit.source import FIELDS, Module
from ragstream.audit.words import alternatives, stems

__all__ = ["Hit", "Index"]

_WEIGHTS = dict(zip(FIELDS, (3.0, 1.2, 1.5, 0.5, 0.2), strict=True))
_LENGTH = 0.5  # b: how far long fields are held against a symbol
_SATURATION = 1.2  # k1
_BEST = _WEIGHTS["name"] + _WEIGHTS["docstring"]


@dataclass(frozen=True, slots=True)
class _Entry:
    file: str
    line: int
    symbol: str
    registered: bool
    counts: dict[str, tuple[int, ...]]  # of each word, by field
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A symbol that shares words with a step."""

    file: str
    line: int
    symbol: str
    score: float  # 0 to 1
    named: float  # the share of the step's words, by weight, that name or place have
    wired: bool  # its name is used somewhere, or it is registered


class Index:
    """What of a code base has to do with ``steps``, each a text."""

    def __init__(self, steps: Iterable[str], code: Iterable[Module]) -> None:
        words = {word for step in steps for stem in stems(step) for word in alternatives(stem)}
        self._entries: list[_Entry] = []
        self._used: set[str] = set()
        self._symbols = 0
        self.lines = 0
        totals = [0] * len(FIELDS)
        for module in code:
            self.lines += module.lines
            self._used |= module.used
            for symbol in module.symbols:
                said = [
                    Counter(stem for part in symbol.said[field] for stem in stems(part.text))
                    for field in FIELDS
                ]
                lengths = tuple(counts.total() for counts in said)
                totals = [total + length for total, length in zip(totals, lengths, strict=True)]
                self._symbols += 1
                known = words.intersection(*[set().union(*said)])
                if known:
                    counted = {word: tuple(counts[word] for counts in said) for word in known}
                    self._entries.append(
                        _Entry(symbol.file, symbol.line, symbol.name, symbol.registered, counted, lengths)
                    )
        self._means = [max(total / max(self._symbols, 1), 1.0) for total in totals]

    def best(self, step: str, most: int = 3) -> list[Hit]:
        """Return the symbols that fit ``step`` best, the best first."""
        concepts = {stem: alternatives(stem) for stem in stems(step)}
        weights = {stem: self._rarity(words) for stem, words in concepts.items()}
        whole = sum(weights.values()) or 1.0
        hits = []
        for entry in self._entries:
            parts = {stem: self._frequency(entry, words) for stem, words in concepts.items()}
            full = _saturated(_BEST)
            score = sum(weights[stem] * min(_saturated(part[0]) / full, 1.0) for stem, part in parts.items())
            named = sum(weights[stem] * part[1] for stem, part in parts.items())
            if score > 0:
                hits.append(
                    Hit(
                        entry.file,
                        entry.line,
                        entry.symbol,
                        score / whole,
                        named / whole,
                        self._is_wired(entry),
                    )
                )
        return sorted(hits, key=lambda hit: (-hit.score, hit.file, hit.line))[:most]

    def _rarity(self, words: dict[str, float]) -> float:
        found = sum(any(word in entry.counts for word in words) for entry in self._entries)
        return log(1 + (self._symbols - found + 0.5) / (found + 0.5))

    def _frequency(self, entry: _Entry, words: dict[str, float]) -> tuple[float, float]:
        """Return how often ``words`` are said, fields weighted, and how far name or place say them."""
        total, named = 0.0, 0.0
        for word, share in words.items():
            counts = entry.counts.get(word)
            if counts is None:
                continue
            for field, count, length, mean in zip(FIELDS, counts, entry.lengths, self._means, strict=True):
                total += share * _WEIGHTS[field] * count / (1 - _LENGTH + _LENGTH * length / mean)
            if counts[0] or counts[1]:
                named = max(named, share)
        return total, named

    def _is_wired(self, entry: _Entry) -> bool:
        return entry.registered or entry.symbol.rpartition(".")[2] in self._used


def _saturated(frequency: float) -> float:
    return frequency / (_SATURATION + frequency)
