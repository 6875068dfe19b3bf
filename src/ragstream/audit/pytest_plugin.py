"""For pytest: every walk of a test is held against its diagram, and what tests walked may be written down.

    pytest -p ragstream.audit.pytest_plugin [--rag-facts FILE]

A test whose lanes took a way that is not drawn fails, whatever else it found. The facts, which tests went
through which steps of Ragstream's own diagram, are written when the run is over and was not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ragstream.audit.course import Conformance, Course, steps_of
from ragstream.audit.facts import Recorder
from ragstream.blueprint import Lane, Step, load_diagram, overheard

__all__ = ["pytest_addoption", "pytest_configure"]

_LISTENER = pytest.StashKey["_Listener"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that turns recording on."""
    parser.getgroup("ragstream").addoption(
        "--rag-facts", type=Path, metavar="FILE", help="write which tests went through which steps"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.stash[_LISTENER] = listener = _Listener(config.getoption("--rag-facts"))
    config.pluginmanager.register(listener)


@pytest.fixture(autouse=True)
def _conforming(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose walks the diagram does not draw."""
    listener = request.config.stash[_LISTENER]
    with listener.during(request.node):
        yield
    if listener.findings:
        pytest.fail("\n".join(listener.findings), pytrace=False)


class _Listener:
    """Hears the steps of one test after the other."""

    def __init__(self, path: Path | None) -> None:
        self.findings: list[str] = []
        self._path = path
        self._drawn = frozenset(load_diagram().nodes)
        self._recorder = Recorder()
        self._steps: dict[Lane, dict[int, Step]] = {}
        self._walks: dict[Lane, Conformance] = {}
        self._test = ""

    @contextmanager
    def during(self, item: pytest.Item) -> Iterator[None]:
        """Hear the steps that are walked during one test."""
        self.findings.clear()
        self._walks.clear()
        self._test = item.nodeid.partition("[")[0]
        with overheard(self._hear):
            yield

    def _hear(self, lane: Lane, line: Mapping[str, Any]) -> None:
        if lane not in self._steps:
            self._steps[lane] = steps_of(lane)
        if lane not in self._walks:
            self._walks[lane] = Conformance(Course(step.node for step in self._steps[lane].values()))
        self.findings += self._walks[lane].hear(line)
        step = self._steps[lane][line["step"]]
        if self._is_real(step) and line["processing_stage"] == "completed":
            self._recorder.left(self._test, step.node.id, line.get("outcome"))

    def _is_real(self, step: Step) -> bool:
        """Whether it is a step of Ragstream's own, not one that a test made or put in its place."""
        return step.node in self._drawn and step.function.__module__.startswith("ragstream.")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what a test walked if it passed."""
        if report.when == "call" and report.passed:
            self._recorder.passed(report.nodeid.partition("[")[0])

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the facts down."""
        if self._path is not None and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._recorder.facts().save(self._path)
