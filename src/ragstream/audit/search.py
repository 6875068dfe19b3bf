"""The audit of code that never heard of us: for each step of a diagram, what in the code may do it.

Nothing is run. A confidence is what ``calibration`` makes of a ranking, and every candidate comes with the
words that speak for it and the lines where they stand, so that a person can check. Where nothing comes near,
the step is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ragstream.audit.calibration import SURE, THERE, asked, built, confidences
from ragstream.audit.ranking import Hit, Index
from ragstream.audit.report import Account, Candidate, Status, Task
from ragstream.audit.shape import risks
from ragstream.audit.source import FIELDS, Symbol, modules, read_module
from ragstream.audit.words import alternatives, stems
from ragstream.blueprint import Diagram, Node
from ragstream.errors import ConfigError

__all__ = ["search_code"]

_LOOKED_AT = 20  # hits of a step that are compared with each other
_SHOWN = 3  # candidates on a page
_QUOTED = 60  # characters of a piece of evidence


def search_code(diagram: Diagram, root: Path) -> list[Account]:
    """Return an account of each step of ``diagram``, as far as the Python code below ``root`` tells.

    Raises:
        ConfigError: there is no Python code.
    """
    index = Index(map(asked, diagram.nodes), modules(root))
    if not index.lines:
        raise ConfigError(f"--code {root}: no Python file there, tests apart; name a folder that has some")
    return [_account(node, index.best(asked(node), _LOOKED_AT), diagram, root) for node in diagram.nodes]


def _account(node: Node, hits: Sequence[Hit], diagram: Diagram, root: Path) -> Account:
    sure = confidences(hits)
    there = built(hits)
    status = _status(there, sure, hits)
    near = list(_apart(zip(hits, sure, strict=True)))[:_SHOWN]
    missing = status is Status.MISSING
    candidates = () if missing else tuple(_candidate(node, hit, score, root) for hit, score in near)
    return Account(
        node=node,
        status=status,
        confidence=1 - there if missing else sure[0],
        intent="",
        candidates=candidates,
        behaviour=("Not known: the code was read, not run.",),
        differences=tuple(_differences(status, candidates)),
        risks=tuple(risks(node, diagram)),
        tasks=tuple(_tasks(status)),
        actions=tuple(_actions(node, status, candidates)),
        notes=tuple(_notes(status, near, candidates)),
    )


def _status(there: float, sure: Sequence[float], hits: Sequence[Hit]) -> Status:
    if there < THERE:
        return Status.MISSING
    if not hits[0].wired:
        return Status.NOT_WIRED
    return Status.IMPLEMENTED if sure[0] >= SURE else Status.PARTIAL


def _apart(hits: Iterable[tuple[Hit, float]]) -> Iterator[tuple[Hit, float]]:
    """Yield ``hits`` without classes of which a method came before, and the other way round."""
    before: list[Hit] = []
    for hit, score in hits:
        names = [
            sorted((f"{hit.symbol}.", f"{each.symbol}."), key=len) for each in before if each.file == hit.file
        ]
        if not any(longer.startswith(shorter) for shorter, longer in names):
            before.append(hit)
            yield hit, score


def _candidate(node: Node, hit: Hit, score: float, root: Path) -> Candidate:
    path = root / hit.file if root.is_dir() else root
    symbols = read_module(path.read_bytes(), hit.file).symbols
    symbol = next(each for each in symbols if (each.name, each.line) == (hit.symbol, hit.line))
    evidence = tuple(_evidence(node, symbol))
    return Candidate(file=hit.file, line=hit.line, symbol=hit.symbol, score=score, evidence=evidence)


def _evidence(node: Node, symbol: Symbol) -> Iterator[str]:
    """Yield, for each field that shares words with the step, the first place that does."""
    wanted = {word for stem in stems(asked(node)) for word in alternatives(stem)}
    for field in FIELDS:
        for said in symbol.said[field]:
            if wanted.intersection(stems(said.text)):
                text = " ".join(said.text.split()).replace("`", "'")
                yield f"{field} `{text[:_QUOTED]}{'…' if len(text) > _QUOTED else ''}` (line {said.line})"
                break


def _differences(status: Status, candidates: Sequence[Candidate]) -> Iterator[str]:
    if status is Status.MISSING:
        yield "Nothing in the code comes near to this step."
    elif status is Status.NOT_WIRED:
        yield f"`{candidates[0].symbol}` looks like it, but no code uses its name."
    elif status is Status.PARTIAL:
        yield f"`{candidates[0].symbol}` may do it, but its words do not say so clearly."


def _tasks(status: Status) -> Iterator[Task]:
    for kind in ("Unit", "Parity", "Integration"):
        yield Task(f"{kind} tests", False, "not known: nothing was run")
    built = status in (Status.IMPLEMENTED, Status.NOT_WIRED)
    yield Task("Implementation changes", built, "none found necessary" if built else "see the differences")
    yield Task("Observability", False, "not known: nothing was run")
    yield Task("Feature flag / config", False, "not known: nothing was run")
    wired = status in (Status.IMPLEMENTED, Status.PARTIAL)
    yield Task("Rollout plan", wired, "its name is used in the code" if wired else "lead the pipeline to it")


def _actions(node: Node, status: Status, candidates: Sequence[Candidate]) -> Iterator[str]:
    if status is Status.MISSING:
        yield f"Write a failing test for “{node.label}”, then the step; or draw the diagram without it."
    elif status is Status.NOT_WIRED:
        yield f"Test that the pipeline comes through `{candidates[0].symbol}`, or remove it."
    else:
        yield f"Test that `{candidates[0].symbol}` does “{node.label}”, and name it so if it does."


def _notes(
    status: Status, near: Sequence[tuple[Hit, float]], candidates: Sequence[Candidate]
) -> Iterator[str]:
    if status is not Status.MISSING:
        yield f"Found by names, docstrings, calls and text; {len(candidates)} of the nearest are shown."
    elif near:
        hit, score = near[0]
        yield f"The nearest, not taken for it: `{hit.symbol}` in `{hit.file}:{hit.line}` ({score:.2f})."
    else:
        yield "No function, class or script shares a word with it."
