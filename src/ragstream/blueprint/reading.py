"""From the text of a diagram to its checked values."""

from __future__ import annotations

import re
from importlib import resources

from ragstream.blueprint.diagram import Diagram, Edge, Kind, Node, Track
from ragstream.blueprint.mermaid import Drawing, Shape, parse
from ragstream.blueprint.rules import check
from ragstream.errors import BlueprintError

__all__ = ["load_diagram", "read_diagram"]

_LABEL = re.compile(r"S(\d{3}) · (\S.*)")
_KINDS = {"box": Kind.PROCESS, "rhombus": Kind.DECISION, "double": Kind.ERROR}


def load_diagram() -> Diagram:
    """Return Ragstream's own diagram, which the package ships.

    Raises:
        BlueprintError: it is broken; the message says where.
    """
    text = resources.files("ragstream.blueprint").joinpath("ragstream.mmd").read_text("utf-8")
    try:
        return read_diagram(text)
    except BlueprintError as error:
        raise BlueprintError(f"ragstream.mmd, {error}") from None


def read_diagram(text: str) -> Diagram:
    """Return the diagram that ``text`` draws.

    Raises:
        BlueprintError: it is broken; one line with the line's number and what to change.
    """
    drawing = parse(text)
    _check_names(drawing)
    steps = [shape for shape in drawing.shapes.values() if shape.shape != "drum"]
    nodes = [_node(shape, drawing) for shape in steps]
    tracks = [
        Track(name, label, tuple(node for node in nodes if node.lane == name))
        for name, label in drawing.lanes.items()
    ]
    diagram = Diagram(tuple(tracks))
    check(diagram)
    return diagram


def _check_names(drawing: Drawing) -> None:
    """Check that all names have a shape, and that control stays between the steps of one lane."""
    shapes = drawing.shapes
    for arrow in drawing.arrows:
        for name in (arrow.source, arrow.target):
            if name not in shapes:
                raise BlueprintError(
                    f"line {arrow.line}: edge to nowhere: {name} has no shape; draw it, or mend its id"
                )
        source, target = shapes[arrow.source], shapes[arrow.target]
        if not arrow.dotted and (source.lane != target.lane or "drum" in (source.shape, target.shape)):
            raise BlueprintError(
                f"line {arrow.line}: control passes only between steps of one lane; "
                f"draw {source.id} -.-> {target.id} if it is data"
            )
    for name, (_, line) in drawing.classes.items():
        if name not in shapes:
            raise BlueprintError(f"line {line}: class of {name}, which is not drawn; mend its id")


def _node(shape: Shape, drawing: Drawing) -> Node:
    label = _LABEL.fullmatch(shape.text)
    if label is None:
        raise BlueprintError(
            f'line {shape.line}: the label of {shape.id} must read like "S104 · Streaming requested?"'
        )
    if shape.id not in drawing.classes:
        raise BlueprintError(f"line {shape.line}: {shape.id} has no category; add it to a 'class' line")
    if not shape.lane:
        raise BlueprintError(
            f"line {shape.line}: {shape.id} stands outside of every lane; move it into a 'subgraph'"
        )
    arrows = [arrow for arrow in drawing.arrows if not arrow.dotted]
    entered = any(arrow.target == shape.id for arrow in arrows)
    return Node(
        id=shape.id,
        number=int(label[1]),
        label=label[2],
        kind=_KINDS.get(shape.shape) or (Kind.END if entered else Kind.START),
        category=drawing.classes[shape.id][0],
        lane=shape.lane,
        edges=tuple(Edge(arrow.target, arrow.label) for arrow in arrows if arrow.source == shape.id),
        line=shape.line,
    )
