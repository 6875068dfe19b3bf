"""What a question is about: its words without those that only hold a sentence together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["carried_over", "content_words", "pointed_at", "words"]

_WORD = re.compile(r"\w+(?:['\u2019\-.]\w+)*")
_HOW_MUCH = re.compile(r"\bhow (?:far|long|many|much|often)\b")
# English, German, French, Spanish, Italian
_LITTLE_WORDS = """
a about after all also am an and any are as at be because been before being but by can cannot could did do
does doing done each else ever for from get gets give go goes had has have he her here him his how i if in
instead into is it its just know like many may me mean means more most much must my need no not of on one
only or other our out over please same shall she should so some such tell than that the their them then
there these they thing things this those to too under up us use used using want was way we were what when
where which while who whom whose why will with work works would you your it's what's don't i'm can't
aber als am an auch auf aus bei bin bis das dass dem den der des die doch du ein eine einem einen einer es
für geht gibt haben hat ich ihr im in ist kann kein keine man mein mich mir mit muss nach nicht noch nur ob
oder sein sich sie sind so soll um und uns von vor wann war was welche welcher welches wenn wer werden wie
wieso warum wird wir wo zu zum zur über
au aux avec ce ces cette comment dans de des du elle en est et il ils je la le les leur mais ne nous on ou
où par pas pour pourquoi quand que quel quelle quelles quels qui quoi sa se ses son sont sur un une vous
al como con cual cuál cuando cuándo de del dónde el ella en es esta este esto hay la las lo los más mi no
para pero por porque puedo que qué quien quién se si sin son su sus un una uno y yo
che chi ci come con cosa da dei del della di dove e gli ha ho i il la le lo ma mi nel non o per perché
posso può quale quali quando questo se si sono su un una
"""
_POINTING_BACK = """
it its it's they them their this that these those he she him her there then same other instead one ones
dies diese dieser dieses das es sie ihn damit davon dafür celui cela ça eso esto ello questo quello
"""
_GOING_ON = "and but or also so then why und aber oder auch et mais ou y pero o e ma"
_HELPERS, _POINTERS, _OPENERS = (
    frozenset(listed.split()) for listed in (_LITTLE_WORDS, _POINTING_BACK, _GOING_ON)
)
_FEW = 4  # content words; a question that has more stands on its own, whatever else it says
_LOOK_BACK = 3  # questions


def words(text: str) -> list[str]:
    """Return the words of ``text`` in one form: NFKC, case folded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))


def content_words(text: str) -> list[str]:
    """Return the words that say what ``text`` is about, each once, in their order."""
    asked = _HOW_MUCH.sub("", " ".join(words(text)))
    return [word for word in dict.fromkeys(asked.split()) if word not in _HELPERS]


def carried_over(questions: Sequence[str]) -> str:
    """Return the last question, with the words of those before it where it leans on them.

    "And for Redis?" after "How long are logs kept?" becomes "And for Redis? logs kept".
    """
    if not questions:
        return ""
    question, topic = questions[-1], dict.fromkeys(content_words(questions[-1]))
    own = len(topic)
    leaning = question
    for earlier in reversed(questions[:-1][-_LOOK_BACK:]):
        if not _leans(leaning):
            break
        topic |= dict.fromkeys(content_words(earlier))
        leaning = earlier
    return " ".join([question, *list(topic)[own:]])


def pointed_at(questions: Sequence[str]) -> list[str]:
    """Return the words of earlier questions that a "that" or "it" in the last one stands for; or none."""
    if not questions or _POINTERS.isdisjoint(words(questions[-1])):
        return []
    own = set(content_words(questions[-1]))
    return [word for word in content_words(carried_over(questions)) if word not in own]


def _leans(question: str) -> bool:
    said = words(question)
    about = sum(max(1, len(word) // 2) if _unspaced(word) else 1 for word in content_words(question))
    if about <= 1:
        return True
    return about <= _FEW and (said[0] in _OPENERS or not _POINTERS.isdisjoint(said))


def _unspaced(word: str) -> bool:
    return word[0] >= "\u2e80" or "\u0e00" <= word[0] <= "\u0eff"  # CJK, Thai, Lao: a run is several words
