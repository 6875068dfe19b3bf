"""The subset of Mermaid's flowchart language that blueprints are drawn in: text to shapes and arrows.

Only syntax is checked here. A line holds one statement::

    %% a comment
    flowchart TD
    subgraph lane["label"] ... end
    Id["box"]  Id{"rhombus"}  Id[["double"]]  Id(["round"])  Id[("drum")]
    One --> Other        One -->|label| Other        One -.-> Other        One -.->|label| Other
    class One,Other name

A node takes its shape where it is first needed and is named by its id elsewhere. The official parser reads
more; whatever we read, it reads alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ragstream.errors import BlueprintError

__all__ = ["Arrow", "Drawing", "Shape", "parse"]

_SHAPES = {"([": "])", "[(": ")]", "[[": "]]", "[": "]", "{": "}"}
_NAMES = {"([": "round", "[(": "drum", "[[": "double", "[": "box", "{": "rhombus"}
_HOW = 'use ["box"], {"decision"}, [["error"]], (["start or end"]) or [("store")], with the label in quotes'

_ID = r"[A-Za-z]\w*"
_NODE = re.compile(rf"\s*({_ID})")
_LABEL = re.compile(r'(\(\[|\[\(|\[\[|\[|\{)"([^"]+)"(\]\)|\)\]|\]\]|\]|\})')
_ARROW = re.compile(r"\s*(-->|-\.->)(?:\|([^|]+)\|)?")
_SHAPED = re.compile(r"[^\s-]")  # a shape, or what is meant to be one, follows the id at once
_LANE = re.compile(rf'subgraph ({_ID})\["([^"]+)"\]')
_CLASS = re.compile(rf"class ({_ID}(?:,{_ID})*) ({_ID})")


@dataclass(frozen=True, slots=True)
class Shape:
    """A node as it is drawn; ``lane`` is "" outside of every lane."""

    id: str
    shape: str  # box, rhombus, double, round, drum
    text: str
    lane: str
    line: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge as it is drawn, between two ids."""

    source: str
    target: str
    label: str | None
    dotted: bool
    line: int


@dataclass(slots=True)
class Drawing:
    """What a text draws."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    lanes: dict[str, str] = field(default_factory=dict)  # name to label
    classes: dict[str, tuple[str, int]] = field(default_factory=dict)  # id to class and line


def parse(text: str) -> Drawing:
    """Return what ``text`` draws.

    Raises:
        BlueprintError: a line is not of the subset; the message has its number and what to write.
    """
    reader = _Reader()
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        statement = line.strip()
        if statement and not statement.startswith("%%"):
            reader.read(statement, number)
    reader.finish()
    return reader.drawing


class _Reader:
    """Reads statement by statement; remembers the lane it is in."""

    def __init__(self) -> None:
        self.drawing = Drawing()
        self._begun = False
        self._lane = ""
        self._line = 0

    def read(self, statement: str, line: int) -> None:
        self._line = line
        if not self._begun:
            self._expect(statement == "flowchart TD", "a blueprint begins with 'flowchart TD'")
            self._begun = True
        elif statement == "end":
            self._expect(self._lane != "", "'end' without a 'subgraph' before it")
            self._lane = ""
        elif statement.startswith("subgraph "):
            self._read_lane(statement)
        elif statement.startswith("class "):
            self._read_class(statement)
        else:
            self._read_edge(statement)

    def finish(self) -> None:
        self._expect(self._begun, "the diagram is empty; a blueprint begins with 'flowchart TD'")
        self._expect(self._lane == "", f"lane {self._lane!r} is not closed; add 'end'")

    def _expect(self, fine: bool, otherwise: str) -> None:
        if not fine:
            raise BlueprintError(f"line {self._line}: {otherwise}")

    def _read_lane(self, statement: str) -> None:
        match = _LANE.fullmatch(statement)
        if match is None:
            raise BlueprintError(f'line {self._line}: a lane begins like subgraph name["label"]')
        name, label = match.groups()
        self._expect(self._lane == "", f"lane {name!r} begins inside lane {self._lane!r}; lanes do not nest")
        self._expect(name not in self.drawing.lanes, f"lane {name!r} is drawn a second time")
        self._lane = name
        self.drawing.lanes[name] = label

    def _read_class(self, statement: str) -> None:
        match = _CLASS.fullmatch(statement)
        if match is None:
            raise BlueprintError(f"line {self._line}: classes are given like class One,Other name")
        for node in match[1].split(","):
            self._expect(node not in self.drawing.classes, f"{node} is given a class a second time")
            self.drawing.classes[node] = (match[2], self._line)

    def _read_edge(self, statement: str) -> None:
        source, position = self._read_node(statement, 0)
        if position == len(statement):
            return
        arrow = _ARROW.match(statement, position)
        if arrow is None:
            rest = statement[position:].strip()
            raise BlueprintError(
                f"line {self._line}: cannot read {rest!r}; edges are --> and -.->, with |label|"
            )
        target, position = self._read_node(statement, arrow.end())
        self._expect(
            position == len(statement), f"one edge a line: {statement[position:].strip()!r} is too much"
        )
        self.drawing.arrows.append(Arrow(source, target, arrow[2], arrow[1] == "-.->", self._line))

    def _read_node(self, statement: str, position: int) -> tuple[str, int]:
        match = _NODE.match(statement, position)
        if match is None:
            raise BlueprintError(f"line {self._line}: a node's id is missing at {statement[position:]!r}")
        node, position = match[1], match.end()
        if not _SHAPED.match(statement, position):
            return node, position
        shape = _LABEL.match(statement, position)
        if shape is None or _SHAPES[shape[1]] != shape[3]:
            raise BlueprintError(f"line {self._line}: unknown shape {statement[match.start(1) :]!r}; {_HOW}")
        self._expect(
            node not in self.drawing.shapes, f"{node} is drawn a second time; name it by its id alone"
        )
        self.drawing.shapes[node] = Shape(node, _NAMES[shape[1]], shape[2], self._lane, self._line)
        return node, shape.end()
