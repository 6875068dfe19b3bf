"""Diagrams that were not drawn to be run: any Mermaid flowchart, read for its steps.

A diagram whose labels read ``S104 · …`` is a blueprint, and is held to a blueprint's rules. Of any other
flowchart the nodes, their labels and their edges are taken as they are: a rhombus decides, a drum is a store
and no step, numbers are given in the order of drawing. In a Markdown file the first ``mermaid`` block counts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ragstream.blueprint import Diagram, Edge, Kind, Node, read_diagram
from ragstream.blueprint.diagram import Track
from ragstream.errors import BlueprintError

__all__ = ["drawn_in", "read_any"]

_BLUEPRINT = re.compile(r'"S\d{3} · ')
_FENCE = re.compile(r"^\s*```+\s*mermaid\s*$(.*?)^\s*```", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"(?:graph|flowchart)(?:-\w+)?(?:\s+(?:TB|TD|BT|RL|LR))?\s*;?")
_IGNORED = re.compile(r"(?:classDef|style|linkStyle|click|direction|accTitle|accDescr)\b")
_SUBGRAPH = re.compile(r'subgraph\s+(?:([\w.-]+)\s*\[\s*"?([^\]"]*)"?\s*\]|"?(.+?)"?)')
_CLASS = re.compile(r"class\s+([\w.,\s-]+?)\s+([\w-]+)")
_ID = re.compile(r"\s*(\w+(?:[-.]\w+)*)")
_SHAPES = {
    "(((": ")))",
    "((": "))",
    "([": "])",
    "[(": ")]",
    "[[": "]]",
    "[/": "/]",
    "[\\": "\\]",
    "{{": "}}",
    "[": "]",
    "(": ")",
    "{": "}",
    ">": "]",
}
_ROUND = ("(((", "((", "([")
_LABEL = re.compile(
    "|".join(
        rf'{re.escape(opening)}\s*(?:"[^"]*"|[^"]*?)\s*{re.escape(closing)}'
        for opening, closing in _SHAPES.items()
    )
)
_STYLED = re.compile(r":::[\w-]+")
_LINK = re.compile(
    r"\s*[<xo]?(?:--\s+(?P<solid>[^-|>][^|>]*?)\s*--+[>xo-]?|-\.\s+(?P<dotted>[^|>]+?)\s*\.+-[>xo]?"
    r"|==\s+(?P<thick>[^|>]+?)\s*==+[>xo]?|--+(?:>|[xo](?=\s))?|-\.+-(?:>|[xo](?=\s))?|==+>?|~~~+)"
    r"(?:\s*\|\s*(?P<label>[^|]*?)\s*\|)?"
)


def read_any(text: str) -> Diagram:
    """Return the diagram that ``text`` draws, a blueprint or any other flowchart.

    Raises:
        BlueprintError: it cannot be read; one line with the line's number.
    """
    text = drawn_in(text)
    if _BLUEPRINT.search(text):
        return read_diagram(text)
    sketch = _Sketch()
    for number, line in _statements(text):
        sketch.read(line, number)
    if not sketch.nodes:
        raise BlueprintError("the diagram has no node; a flowchart begins with 'flowchart TD' and has some")
    return sketch.diagram()


def drawn_in(text: str) -> str:
    """Return the diagram in ``text``, on its lines: a Markdown file's first, or all of it."""
    fenced = _FENCE.search(text)
    return "\n" * text.count("\n", 0, fenced.start(1)) + fenced[1] if fenced else text


def _statements(text: str) -> Iterator[tuple[int, str]]:
    front = text.lstrip().startswith("---\n")  # YAML: a title, a configuration
    begun = False
    for number, line in enumerate(text.split("\n"), 1):
        for statement in map(str.strip, line.partition("%%")[0].rstrip().rstrip(";").split(";\n")):
            if not begun:
                begun = bool(_HEADER.fullmatch(statement))
                if statement and not begun and not front:
                    raise BlueprintError(
                        f"line {number}: {statement!r}: a flowchart begins with 'flowchart TD'"
                    )
            elif statement and not _IGNORED.match(statement):
                yield number, statement


@dataclass(slots=True)
class _Drawn:
    id: str
    line: int
    lane: str
    label: str = ""
    opening: str = "["
    ways: list[Edge] = field(default_factory=list)


class _Sketch:
    """What has been read so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, _Drawn] = {}
        self._lanes: list[str] = []
        self._classes: dict[str, str] = {}

    def read(self, statement: str, line: int) -> None:
        if statement == "end" and self._lanes:
            self._lanes.pop()
        elif match := _SUBGRAPH.fullmatch(statement):
            self._lanes.append(_plain(match[2] or match[3] or match[1]))
        elif match := _CLASS.fullmatch(statement):
            self._classes |= dict.fromkeys(re.split(r"[,\s]+", match[1]), match[2])
        else:
            self._read_chain(statement, line)

    def diagram(self) -> Diagram:
        steps = {name: node for name, node in self.nodes.items() if node.opening != "[("}
        entered = {edge.target for node in steps.values() for edge in node.ways}
        nodes = [
            Node(
                id=node.id,
                number=number,
                label=node.label or node.id,
                kind=_kind(node, entered),
                category=re.sub(r"\W+", ".", self._classes.get(node.id, "step")).lower(),
                lane=node.lane,
                edges=tuple(edge for edge in node.ways if edge.target in steps),
                line=node.line,
            )
            for number, node in enumerate(steps.values(), 1)
        ]
        lanes = dict.fromkeys(node.lane for node in nodes)
        return Diagram(tuple(Track(lane, lane, tuple(n for n in nodes if n.lane == lane)) for lane in lanes))

    def _read_chain(self, statement: str, line: int) -> None:
        sources, position = self._read_group(statement, 0, line)
        while position < len(statement):
            link = _LINK.match(statement, position)
            if link is None:
                raise BlueprintError(
                    f"line {line}: cannot read {statement[position:].strip()!r}; write A[Label] --> B[Label]"
                )
            outcome = link["label"] or link["solid"] or link["dotted"] or link["thick"]
            targets, position = self._read_group(statement, link.end(), line)
            for source in sources:
                source.ways += [Edge(target.id, _plain(outcome) if outcome else None) for target in targets]
            sources = targets

    def _read_group(self, statement: str, position: int, line: int) -> tuple[list[_Drawn], int]:
        node, position = self._read_node(statement, position, line)
        group = [node]
        while match := re.compile(r"\s*&").match(statement, position):
            node, position = self._read_node(statement, match.end(), line)
            group.append(node)
        rest = re.compile(r"\s*").match(statement, position)
        return group, rest.end() if rest else position

    def _read_node(self, statement: str, position: int, line: int) -> tuple[_Drawn, int]:
        match = _ID.match(statement, position)
        if match is None:
            raise BlueprintError(f"line {line}: a node's id is missing at {statement[position:]!r}")
        lane = self._lanes[0] if self._lanes else "main"
        node = self.nodes.setdefault(match[1], _Drawn(match[1], line, lane))
        position = match.end()
        if shape := _LABEL.match(statement, position):
            node.opening = next(opening for opening in _SHAPES if shape[0].startswith(opening))
            label = _plain(shape[0][len(node.opening) : -len(_SHAPES[node.opening])])
            if node.label not in ("", label):
                raise BlueprintError(
                    f"line {line}: {node.id} is {label!r} here, but {node.label!r} before; give one a new id"
                )
            node.label = label
            position = shape.end()
        if styled := _STYLED.match(statement, position):
            self._classes[node.id] = styled[0][3:]
            position = styled.end()
        return node, position


def _kind(node: _Drawn, entered: set[str]) -> Kind:
    if node.opening == "{":
        return Kind.DECISION
    if node.opening in _ROUND and node.id not in entered:
        return Kind.START
    return Kind.END if node.opening in _ROUND and not node.ways else Kind.PROCESS


def _plain(label: str) -> str:
    """Return a label without quotes, tags, entities, icons and a number in front."""
    text = html.unescape(re.sub(r"<[^>]+>|fa[bsr]?:fa-[\w-]+", " ", label).replace("#quot;", "'"))
    text = " ".join(text.strip(" \"'`*").split())
    return re.sub(r"^(?:step\s*)?\d+\s*[.):·-]\s+", "", text, flags=re.IGNORECASE)
