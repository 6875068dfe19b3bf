"""A small checkout: a diagram, a module of steps, tests that are named, and facts that can be chosen."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragstream.audit.facts import Facts
from ragstream.audit.project import FACTS, Project
from ragstream.blueprint import Diagram, marked, read_diagram

DRAWN = """flowchart TD
subgraph lane["a lane"]
    Begin(["S001 · Begin"]) --> Work["S002 · Do the work"]
    Work --> Check{"S003 · Done?"}
    Check -->|no| Work
    Check -->|yes| Finish(["S004 · Finish"])
    Rescue[["S005 · Rescue"]] --> Finish
end
class Begin,Work,Check,Finish,Rescue test
"""

STEPS = '''
from typing import Literal
from ragstream.blueprint import step

@step("Begin")
async def begin(state, kit) -> None:
    """Begin.

    With care.
    """

@step("Work")
async def work(state, kit) -> None:
    """Work until it is done."""
    state.note(worked=True, hours=kit.settings.hours)
    await kit.tools.use(kit.settings.strength)

@step("Check")
def check(state) -> Literal["yes", "no"]:
    return "yes"

@step("Finish")
async def finish(state, kit) -> None: ...

@step("Rescue")
async def rescue(state, kit) -> None: ...
'''

TESTS = """
def test_all(): ...
def test_two_ways_are_the_same(): ...
class TestMore:
    def test_rescue(self): ...
"""

UNIT, PARITY = "tests/unit/test_lane.py::test_all", "tests/unit/test_lane.py::test_two_ways_are_the_same"
RESCUE = "tests/functional/test_lane.py::TestMore::test_rescue"

WALKS = {
    UNIT: {"Begin": [""], "Work": [""], "Check": ["no", "yes"], "Finish": [""]},
    PARITY: {"Begin": [""], "Work": [""], "Check": ["yes"], "Finish": [""]},
    RESCUE: {"Rescue": [""], "Finish": [""]},
}


@pytest.fixture
def diagram() -> Diagram:
    return read_diagram(DRAWN)


def load_steps(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lane_of_steps", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "docs/architecture/diagrams/ragstream.mmd": DRAWN,
        "src/lane.py": STEPS,
        "tests/unit/test_lane.py": TESTS,
        "tests/functional/test_lane.py": TESTS,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.fixture
def functions(root: Path) -> Mapping[str, Callable[..., Any]]:
    return marked([load_steps(root / "src" / "lane.py")])


Saw = Callable[..., Project]


@pytest.fixture
def audited(root: Path, diagram: Diagram, functions: Mapping[str, Callable[..., Any]]) -> Saw:
    """Return what audits the checkout after a test run with these walks, or with what is there already."""

    def audit(walks: dict[str, dict[str, list[str]]] | None = None, *, whole: bool = True) -> Project:
        if walks is not None:
            Facts(whole=whole, walks=walks).save(root / FACTS)
        return Project(root, diagram, functions)

    return audit
