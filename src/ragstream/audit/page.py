"""The page of a step: its headings, its generated parts, and what a person wrote around them.

Every generated part stands between two comments and is replaced as a whole. Whatever else is on the page, new
headings included, is kept where it is.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ragstream.audit.report import Account, Candidate, Status, Task

__all__ = ["Place", "file_name", "fill", "page_text"]

BEGIN, END = "<!-- GENERATED:BEGIN -->", "<!-- GENERATED:END -->"
AUDIT_BEGIN, AUDIT_END = "<!-- AUTO-AUDIT:BEGIN -->", "<!-- AUTO-AUDIT:END -->"
_GENERATED = re.compile(rf"{BEGIN}.*?{END}", re.DOTALL)
_AUDIT = re.compile(rf"{AUDIT_BEGIN}.*?{AUDIT_END}", re.DOTALL)

_HEADINGS = (
    "Intent (Blueprint)",
    "Current Implementation (Repo)",
    "Differences (Blueprint vs Current)",
    "Risks / Impact",
    "TDD Task List",
    "Done When",
    "Links",
)
_HEADING = re.compile(rf"^## ({'|'.join(map(re.escape, _HEADINGS))})$", re.MULTILINE)
_LONGEST = 150  # characters of an id in a file's name
_MEANINGS = {
    Status.IMPLEMENTED: "✅ (Implemented)",
    Status.PARTIAL: "🟡 (Partial)",
    Status.NOT_WIRED: "🔌 (Not wired)",
    Status.MISSING: "❌ (Missing)",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands, for its links."""

    folder: Path  # of the pages
    root: Path  # of the code
    diagram: Path
    registry: Path

    def link(self, path: Path, text: str) -> str:
        """Return a link from a page to ``path``."""
        return f"[{text}]({Path(os.path.relpath(path, self.folder)).as_posix()})"


def file_name(account: Account) -> str:
    """Return the name of the step's page."""
    return f"STEP-{account.node.number}-{account.node.step_id[:_LONGEST]}.md"


def fill(body: str, part: str) -> str:
    """Return ``body`` with ``part`` as its generated part, at its head if it has none yet."""
    block = f"{BEGIN}\n{part}\n{END}"
    if _GENERATED.search(body):
        return _GENERATED.sub(lambda _: block, body, count=1).strip()
    return f"{block}\n\n{body.strip()}".strip()


def page_text(account: Account, place: Place, before: str = "") -> str:
    """Return the page of ``account``; ``before`` is the page as it was, whose human text is kept."""
    written, *behind = _AUDIT.split(before)
    head, *rest = _HEADING.split(written)
    bodies: defaultdict[str, str] = defaultdict(str)
    for heading, body in zip(rest[::2], rest[1::2], strict=True):
        bodies[heading] += body
    node = account.node
    parts = [
        f"# RAG STEP {node.number} — {node.label} ({node.step_id})",
        fill(_untitled(head), _head(account)),
    ]
    for heading, part in zip(_HEADINGS, _parts(account, place), strict=True):
        parts += [f"## {heading}", fill(bodies[heading], part)]
    parts.append(f"{AUDIT_BEGIN}\n{_audit(account)}\n{AUDIT_END}")
    parts += filter(None, map(str.strip, behind))
    return "\n\n".join(parts) + "\n"


def _untitled(head: str) -> str:
    return re.sub(r"\A\s*# .*$", "", head, count=1, flags=re.MULTILINE)


def _head(account: Account) -> str:
    node = account.node
    return f"**Type:** {node.kind.value}  \n**Category:** {node.category}  \n**Node ID:** `{node.id}`"


def _parts(account: Account, place: Place) -> Iterator[str]:
    yield f"{account.intent or account.node.label}\n\n{_position(account)}"
    yield _items(_implementation(account, place))
    yield _items(account.differences) or "None: what is drawn is what runs."
    yield _items(account.risks)
    yield "\n".join(_task(task, place) for task in account.tasks)
    yield "\n".join(_done_when(account))
    links = {"Diagram": place.diagram, "Registry": place.registry}
    yield _items(f"{what}: {place.link(path, path.name)}" for what, path in links.items())


def _position(account: Account) -> str:
    edges = account.node.edges
    ways = [f"`{e.target}` on `{e.outcome}`" if e.outcome else f"`{e.target}`" for e in edges]
    return f"Lane `{account.node.lane}`; followed by {', '.join(ways) or 'nothing: the lane ends'}."


def _implementation(account: Account, place: Place) -> Iterator[str]:
    found = account.candidates[:1] if account.status is not Status.MISSING else ()
    paths = [f"{place.link(place.root / at.file, f'`{at.file}:{at.line}`')}, `{at.symbol}`" for at in found]
    yield f"**Paths:** {paths[0] if paths else 'none'}"
    yield f"**Status:** {_MEANINGS[account.status]}"
    yield from (f"**Behaviour:** {note}" for note in account.behaviour)
    yield f"**Duration:** {_duration(account.milliseconds)}"


def _duration(milliseconds: float | None) -> str:
    return "not measured" if milliseconds is None else f"{milliseconds:g} ms on average in the last benchmark"


def _task(task: Task, place: Place) -> str:
    tests = [
        place.link(place.root / test.partition("::")[0], f"`{test.partition('::')[2]}`")
        for test in task.tests
    ]
    words = ", ".join(tests) or task.words
    return f"- [{'x' if task.done else ' '}] {task.title}: {words}"


def _done_when(account: Account) -> Iterator[str]:
    boxes = {
        "a function does it": account.status is Status.IMPLEMENTED
        or (account.status is Status.PARTIAL and account.confidence == 1.0),
        "nothing differs from the diagram": not account.differences,
        "tests took every way out of it": account.taken >= {e.outcome or "" for e in account.node.edges}
        and bool(account.tests),
        "the audit says ✅": account.status is Status.IMPLEMENTED,
    }
    for words, met in boxes.items():
        yield f"- [{'x' if met else ' '}] {words}"


def _audit(account: Account) -> str:
    lines = [
        f"Status: {account.status.value}  |  Confidence: {account.confidence:.2f}",
        "",
        "Top candidates:",
    ]
    for number, found in enumerate(account.candidates, 1):
        lines += [*_candidate(number, found)]
    lines += ["", "Notes:", _items(account.notes or account.differences or ("Nothing differs.",))]
    lines += ["", "Suggested next TDD actions:", _items(account.actions or ("None.",))]
    return "\n".join(lines if account.candidates else [*lines[:3], "None.", *lines[3:]])


def _candidate(number: int, found: Candidate) -> Iterator[str]:
    yield f"{number}. `{found.file}:{found.line}` — `{found.symbol}` (score {found.score:.2f})"
    yield "   Evidence: " + "; ".join(found.evidence)


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
