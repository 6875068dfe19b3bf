"""Words of identifiers and prose, made comparable: split, lower case, stemmed; other words for the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import Stemmer  # type: ignore[import-not-found]  # PyStemmer has no types

__all__ = ["alternatives", "stems"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
_STEMMER = Stemmer.Stemmer("english")
_IDLE = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from get has have if in into is it its not of on or self set that the "
        "their them then this to was were what when which will with",
    )
)
_ALIKE = 0.6  # how much another word for the same counts

# What programmers of pipelines call the same thing.
_GROUPS = (
    "retrieve search lookup fetch find recall",
    "query search retrieve lookup",
    "passage document chunk context snippet node",
    "chunk split splitter segment",
    "model llm provider completion",
    "call invoke request complete",
    "generate synthesize compose produce",
    "store save persist write upsert insert put",
    "history memory conversation chat",
    "answer response reply result output",
    "question query prompt input",
    "prompt template message",
    "parse extract load read",
    "clean normalize sanitize strip",
    "validate check verify ensure",
    "authenticate auth login authorize credential",
    "reject refuse deny error",
    "embed embedding vector encode vectorize",
    "index ingest add",
    "rerank rank sort reorder score",
    "retry attempt backoff",
    "fallback failover alternative",
    "stream chunk sse event yield",
    "rewrite rephrase reformulate condense expand",
    "cite citation reference source",
    "count measure metric track usage record",
    "log trace report",
    "limit budget quota cap",
    "remove delete drop purge",
    "update refresh",
    "user client caller",
    "tool function action",
    "cache memoize",
    "filter prune select",
    "select choose pick route",
    "send deliver emit write",
    "summarize condense compress",
    "moderate guard guardrail safety toxic",
    "evaluate grade judge assess",
    "create build make new",
    "crawl scrape download fetch",
)


@cache
def _stem(word: str) -> str:
    stemmed: str = _STEMMER.stemWord(word)
    return stemmed


def stems(text: str) -> Iterator[str]:
    """Yield the stems of ``text``, prose or identifiers, without the words that say nothing."""
    for word in _WORD.findall(text):
        low = word.lower()
        if len(low) > 1 and low not in _IDLE:
            yield _stem(low)


@cache
def alternatives(stem: str) -> dict[str, float]:
    """Return what may stand for ``stem``, and how much it counts: itself 1."""
    alike = {other: _ALIKE for group in _stemmed_groups() if stem in group for other in group}
    return alike | {stem: 1.0}


@cache
def _stemmed_groups() -> tuple[frozenset[str], ...]:
    return tuple(frozenset(map(_stem, group.split())) for group in _GROUPS)
