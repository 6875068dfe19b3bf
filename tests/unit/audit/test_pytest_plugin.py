"""The plugin, in a pytest of its own: wrong walks fail, right ones do not, and what was walked is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ragstream.audit.facts import Facts, load_facts

LANE = '''
import pytest
from types import ModuleType
from ragstream.blueprint import State, bind, read_diagram, step
from ragstream.blueprint.journal import Visit

DRAWN = """flowchart TD
subgraph lane["lane"]
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> Finish(["S003 · Finish"])
end
class Begin,Work,Finish test
"""

def function(name):
    @step(name)
    async def do(state, kit) -> None: ...
    return do

@pytest.fixture(scope="module")
def lane():
    module = ModuleType("steps")
    for name in ("Begin", "Work", "Finish"):
        setattr(module, name, function(name))
    return bind(read_diagram(DRAWN), [module]).lane("lane")

def visit(lane, *steps):
    for each in steps:
        with Visit(lane, each, State(request_id="r"), None, closing=False):
            pass
'''

RIGHT = """
def test_walks(lane):
    visit(lane, lane.start, lane.start.next, lane.start.next.next)
"""

WRONG = """
def test_walks(lane):
    visit(lane, lane.start, lane.start.next.next)
"""

SHARED = """
@pytest.fixture(scope="module")
def under_way(lane):
    visit(lane, lane.start)  # as a server does that several tests share

def test_first(lane, under_way):
    visit(lane, lane.start.next)

def test_second(lane):
    visit(lane, lane.start.next.next)
"""

AFTER = """
@pytest.fixture(scope="module", autouse=True)
def late(lane):
    yield
    visit(lane, lane.start.next)

def test_nothing(): ...
"""

OURS = """
from ragstream.bootstrap.binding import bind_blueprint

@pytest.mark.parametrize("number", [1, 2])
def test_passes(number):
    lane = bind_blueprint().lane("feeds")
    visit(lane, lane.start)

def test_fails():
    lane = bind_blueprint().lane("feeds")
    visit(lane, lane.start)
    assert False
"""


def _run(folder: Path, tests: str, *options: str) -> tuple[int, str]:
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\ntestpaths = ['.']\n")
    (folder / "test_it.py").write_text(LANE + tests, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "ragstream.audit.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stdout


def test_a_walk_that_is_drawn_passes(tmp_path: Path) -> None:
    assert _run(tmp_path, RIGHT)[0] == 0


def test_a_walk_that_is_not_drawn_fails_its_test(tmp_path: Path) -> None:
    code, said = _run(tmp_path, WRONG)
    assert code == 1
    assert "S002 Work announced, but S003 Finish came: no edge leads there" in said


def test_a_walk_may_have_begun_before_its_test(tmp_path: Path) -> None:
    code, said = _run(tmp_path, SHARED)
    assert code == 0, said


def test_what_is_walked_after_the_last_test_fails_the_run(tmp_path: Path) -> None:
    code, said = _run(tmp_path, AFTER)
    assert code == 1
    assert "After the last test: request r: S002 Work begins a walk" in said


def test_facts_of_a_whole_run_survive_a_partial_one(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    assert _run(tmp_path, OURS, "--rag-facts", str(path))[0] == 1
    facts = load_facts(path)
    assert facts == Facts(
        whole=True, walks={"test_it.py::test_fails": {}, "test_it.py::test_passes": {"SourceChanged": [""]}}
    )
    _run(tmp_path, OURS, "--rag-facts", str(path), "-k", "fails")
    assert load_facts(path) == facts


@pytest.mark.parametrize(
    "options", [("-k", "passes"), ("test_it.py",), ("-x",), ("--deselect", "test_it.py::test_fails")]
)
def test_a_run_that_left_tests_out_is_not_whole(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "facts.json"
    _run(tmp_path, OURS, "--rag-facts", str(path), *options)
    facts = load_facts(path)
    assert facts
    assert not facts.whole


def test_walks_of_other_diagrams_are_no_facts(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    _run(tmp_path, RIGHT, "--rag-facts", str(path))
    assert load_facts(path) == Facts(whole=True, walks={"test_it.py::test_walks": {}})
