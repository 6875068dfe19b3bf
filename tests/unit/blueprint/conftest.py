"""Small diagrams with functions made for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from ragstream.blueprint import Lane, bind, read_diagram
from ragstream.telemetry import Metrics

Build = Callable[..., Lane]


def _drawn(body: str) -> str:
    names = ",".join(dict.fromkeys(re.findall(r'(\w+)[\[({]+"', body)))
    return f'flowchart TD\nsubgraph lane["a lane"]\n{body}\nend\nclass {names} test\n'


@pytest.fixture
def build() -> Build:
    """Bind functions to the lane that a body draws."""

    def build_lane(body: str, *functions: Callable[..., Any], metrics: Metrics | None = None) -> Lane:
        module = ModuleType("steps")
        for number, function in enumerate(functions):
            setattr(module, f"step{number}", function)
        return bind(read_diagram(_drawn(body)), [module], metrics=metrics).lane("lane")

    return build_lane
