"""From scores to confidence: how often a symbol that ranks like this one did the step.

Two questions are asked, and a logistic curve answers each: is the best symbol the right one, and is there any
symbol that does the step? Both are told by how much of the step the best symbol's name says, and how far it
is ahead of the next in another file that has another name. The score itself says no more than these two.

Both are fitted to labelled cases: the small pipelines in ``cases``, each alone and all five as one code base,
and Ragstream itself, whose marks say which function does which step. So that nearest neighbours are learned
too, every step is asked a second time with its function taken away: whatever comes first then is wrong.
``python -m ragstream.audit.cases`` repeats the fit and prints what is promised beside what is true.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import exp
from pathlib import Path
from typing import NamedTuple

from ragstream.audit.cases import load_cases
from ragstream.audit.functions import marked_in
from ragstream.audit.ranking import Hit, Index
from ragstream.audit.source import Module, modules
from ragstream.blueprint import Diagram, Node, load_diagram

__all__ = [
    "BUILT",
    "RIGHT",
    "SURE",
    "THERE",
    "Curve",
    "Observation",
    "Rank",
    "asked",
    "built",
    "confidences",
    "fit",
    "observations",
]


class Rank(NamedTuple):
    """How a symbol stands for a step, each from 0 to 1."""

    named: float  # what of the step its name says
    ahead: float  # of the next symbol that is not akin to it, by score


class Curve(NamedTuple):
    """The logistic curve ``1 / (1 + exp(-(base + named * … + ahead * …)))``."""

    base: float
    named: float
    ahead: float

    def at(self, rank: Rank) -> float:
        """Return the confidence that ``rank`` deserves."""
        return 1 / (1 + exp(-self.base - self.named * rank.named - self.ahead * rank.ahead))


RIGHT = Curve(base=-2.48, named=2.51, ahead=7.17)  # it is the right symbol
BUILT = Curve(base=-1.52, named=2.10, ahead=5.70)  # there is a right symbol
SURE = 0.6  # confidence in a symbol from which on its step counts as implemented
THERE = 0.35  # confidence that there is one below which its step counts as missing
_ROUNDS, _RATE, _RIDGE = 6000, 2.0, 0.2  # gradient descent

Label = tuple[str, str] | None  # file and symbol


class Observation(NamedTuple):
    """The best symbol for a step, and what is true of it."""

    rank: Rank
    right: bool  # it does the step
    built: bool  # some symbol does


def asked(node: Node) -> str:
    """Return what is searched for ``node``: its label, and its id where that says something."""
    return f"{node.id} {node.label}" if len(node.id) > 2 else node.label


def confidences(hits: Sequence[Hit]) -> list[float]:
    """Return the confidence that each of ``hits``, which are all for one step, is the right one."""
    return [RIGHT.at(_rank(hit, hits)) for hit in hits]


def built(hits: Sequence[Hit]) -> float:
    """Return the confidence that the step whose ``hits`` these are is built at all."""
    return BUILT.at(_rank(hits[0], hits)) if hits else 0.0


def observations() -> Iterator[Observation]:
    """Yield what the labelled cases show."""
    cases = list(load_cases())
    everything = [module for case in cases for module in case.code]
    for case in cases:
        yield from _observed(case.diagram, case.labels, case.code, robbed=False)
        yield from _observed(case.diagram, case.labels, everything, robbed=True)
    package = Path(__file__).parents[1]
    labels: dict[str, Label] = {
        node: (path.relative_to(package).as_posix(), name) for node, path, _, name in marked_in(package)
    }
    yield from _observed(load_diagram(), labels, modules(package), robbed=True)


def fit(truths: Sequence[tuple[Rank, bool]]) -> Curve:
    """Return the curve that fits ``truths`` best."""
    weights = [0.0] * len(Curve._fields)
    for _ in range(_ROUNDS):
        slopes = [0.0, *(weight * _RIDGE for weight in weights[1:])]
        for rank, true in truths:
            missed = Curve(*weights).at(rank) - true
            slopes = [slope + missed * x for slope, x in zip(slopes, (1.0, *rank), strict=True)]
        weights = [
            weight - slope * _RATE / len(truths) for weight, slope in zip(weights, slopes, strict=True)
        ]
    return Curve(*weights)


def _observed(
    diagram: Diagram, labels: Mapping[str, Label], code: Iterable[Module], *, robbed: bool
) -> Iterator[Observation]:
    index = Index(map(asked, diagram.nodes), code)
    for node in diagram.nodes:
        if node.id not in labels:
            continue
        hits, label = index.best(asked(node), sys.maxsize), labels[node.id]
        others = [hit for hit in hits if not _does(hit, label)]
        for found in (hits, others) if robbed and label else (hits,):
            if found:
                yield Observation(
                    _rank(found[0], found), _does(found[0], label), bool(label) and found is hits
                )


def _does(hit: Hit, label: Label) -> bool:
    """Whether ``hit`` is what the label says, or the class that has it."""
    return label is not None and hit.file == label[0] and f"{label[1]}.".startswith(f"{hit.symbol}.")


def _rank(hit: Hit, hits: Sequence[Hit]) -> Rank:
    ahead = hit.score - max((other.score for other in hits if not _akin(hit, other)), default=0.0)
    return Rank(hit.named, ahead)


def _akin(one: Hit, other: Hit) -> bool:
    """Whether both may have a part in one step: variants of the same name, or what shares a file."""
    return one.file == other.file or one.symbol.rpartition(".")[2] == other.symbol.rpartition(".")[2]
