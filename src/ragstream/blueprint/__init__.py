"""The mechanism: read the diagram, bind functions to its nodes, run them."""

from ragstream.blueprint.binding import Blueprint, Lane, Step, bind, disagreement, marked, step
from ragstream.blueprint.diagram import Diagram, Edge, Kind, Node
from ragstream.blueprint.engine import CLOSING_SECONDS, run, walk
from ragstream.blueprint.journal import Listener, overheard
from ragstream.blueprint.place import CLOSING_AT_ONCE
from ragstream.blueprint.reading import load_diagram, read_diagram
from ragstream.blueprint.state import State

__all__ = [
    "CLOSING_AT_ONCE",
    "CLOSING_SECONDS",
    "Blueprint",
    "Diagram",
    "Edge",
    "Kind",
    "Lane",
    "Listener",
    "Node",
    "State",
    "Step",
    "bind",
    "disagreement",
    "load_diagram",
    "marked",
    "overheard",
    "read_diagram",
    "run",
    "step",
    "walk",
]
