"""The diagram with the functions of all lanes."""

from __future__ import annotations

from ragstream import answer, feeds
from ragstream.blueprint import Blueprint, bind, load_diagram
from ragstream.delivery import steps as delivery
from ragstream.telemetry import Metrics

__all__ = ["STEP_MODULES", "bind_blueprint"]

STEP_MODULES = (*delivery.MODULES, *answer.MODULES, *feeds.MODULES)


def bind_blueprint(metrics: Metrics | None = None) -> Blueprint:
    """Return the blueprint, bound.

    Raises:
        BlueprintError: the diagram and the functions disagree.
    """
    return bind(load_diagram(), STEP_MODULES, metrics=metrics)
