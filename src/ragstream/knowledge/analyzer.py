"""From text to the terms that are indexed and searched.

Text is folded (NFKC, lower case) and split into words. Words are stemmed by script. Scripts written without
spaces, and Hangul, become overlapping pairs of characters, since a stock tokenizer would take a whole
sentence for one word. A question goes the same way, without the words that every question has.

Whatever changes the terms must change ``VERSION``: an index made by another version is rebuilt.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable
from itertools import pairwise

import Stemmer  # type: ignore[import-not-found]  # PyStemmer has no types

__all__ = ["VERSION", "question_terms", "terms"]

VERSION = "1"

# Python's \w leaves combining marks out, which would cut Indic, Thai, Arabic and Hebrew words to pieces.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0903\u093a-\u093c\u093e-\u094f\u0951-\u0957"
    "\u0962\u0963\u0981-\u0983\u09bc-\u09d7\u0a01-\u0a03\u0a3c-\u0a51\u0a81-\u0a83\u0abc-\u0acd\u0b01-\u0b03"
    "\u0b3c-\u0b57\u0b82\u0bbe-\u0bd7\u0c00-\u0c04\u0c3e-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03"
    "\u0d3b-\u0d57\u0d81-\u0d83\u0dca-\u0ddf\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u302a-\u302f\u3099\u309a"
)
_LETTER = r"[^\W_]"  # or digit
_WORD = re.compile(  # (letter|mark)+, in the form that runs twice as fast on letters
    rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|[{_MARKS}]+(?:{_LETTER}+[{_MARKS}]*)*"
)
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_UNSPACED = re.compile(  # Thai, Lao, Myanmar, Khmer; Hangul, kana, Han
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3021-\u302f\u3040-\u30ff\u3130-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_UNIT = re.compile(rf".[{_MARKS}]*", re.DOTALL)  # a character with its marks

# The first letter says the script. Among Latin-script stemmers the Porter stemmer found the most in our
# benchmark, and does little harm to other languages.
_STEMMERS = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u052f", "russian"),
    ("\u0530", "\u058f", "armenian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
)
_LATIN = "porter"

_QUESTION_WORDS = frozenset(
    """
    a about an and any are as at be been but by can could did do does for from had has have how i if in into
    is it its me my of on or our shall should so some than that the their them then there these they this
    those to us was we were what when where which who whom whose why will with would you your
    """.split()  # noqa: SIM905 - a list of words is read more easily than a list of strings
)

_local = threading.local()  # a stemmer keeps a cache and serves one thread


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order, repeated ones included."""
    return _stemmed(_words(text))


def question_terms(text: str) -> list[str]:
    """Return the distinct terms to search for; question words only if there is nothing else."""
    words = _words(text)
    telling = [word for word in words if word not in _QUESTION_WORDS]
    return list(dict.fromkeys(_stemmed(telling or words)))


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_POSSESSIVE.sub("", folded))


def _stemmed(words: list[str]) -> list[str]:
    if all(map(str.isascii, words)):  # the common case, in one call
        found = _stemmer(_LATIN)(words)
    else:
        found = [term for word in words for term in _word_terms(word)]
    return list(filter(None, found))  # nothing is left of a suffix that stands alone: "s"


def _word_terms(word: str) -> list[str]:
    if word.isascii():
        return _stemmer(_LATIN)([word])
    found: list[str] = []
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            found.extend(_stem(word[end : run.start()]))
        found.extend(_pairs(run.group()))
        end = run.end()
    if end < len(word):
        found.extend(_stem(word[end:]))
    return found


def _pairs(run: str) -> list[str]:
    units = _UNIT.findall(run)
    return units if len(units) == 1 else ["".join(pair) for pair in pairwise(units)]


def _stem(word: str) -> list[str]:
    for first, last, language in _STEMMERS:
        if first <= word[0] <= last:
            return _stemmer(language)([word])
    return _stemmer(_LATIN)([word])


def _stemmer(language: str) -> Callable[[list[str]], list[str]]:
    stemmers: dict[str, Callable[[list[str]], list[str]]] = _local.__dict__
    if language not in stemmers:
        stemmers[language] = Stemmer.Stemmer(language).stemWords
    return stemmers[language]
