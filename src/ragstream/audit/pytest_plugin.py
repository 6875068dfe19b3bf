"""For pytest: every walk of a test is held against its diagram, and what tests walked may be written down.

    pytest -p ragstream.audit.pytest_plugin [--rag-facts FILE]

A test during which a lane took a way that is not drawn fails, whatever else it found. Listening does not stop
between tests, because a server that several of them share may be in the middle of a walk. The facts, which
tests went through which steps of Ragstream's own diagram, are brought up to date when the run is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ragstream.audit.course import Conformance, Course, steps_of
from ragstream.audit.facts import Recorder, load_facts
from ragstream.blueprint import Lane, Step, load_diagram, overheard

__all__ = ["pytest_addoption", "pytest_configure"]

_LISTENER = pytest.StashKey["_Listener"]()
_NARROWING = re.compile(
    r"-[km]|--(deselect|ignore|lf|last-failed|sw|stepwise)"
)  # options that leave tests out


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that turns recording on."""
    parser.getgroup("ragstream").addoption(
        "--rag-facts", type=Path, metavar="FILE", help="write which tests went through which steps"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.stash[_LISTENER] = listener = _Listener(config.getoption("--rag-facts"))
    config.pluginmanager.register(listener)
    listening = ExitStack()
    listening.enter_context(overheard(listener.hear))
    config.add_cleanup(listening.close)


@pytest.fixture(autouse=True)
def _conforming(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which something was walked that the diagram does not draw."""
    listener = request.config.stash[_LISTENER]
    listener.test = _name(request.node.nodeid)
    yield
    listener.test = ""
    if findings := listener.take_findings():
        pytest.fail("\n".join(findings), pytrace=False)


class _Listener:
    """Hears the steps of one test after the other."""

    def __init__(self, path: Path | None) -> None:
        self.test = ""  # under way
        self._path = path
        self._findings: list[str] = []
        self._drawn = frozenset(load_diagram().nodes)
        self._recorder = Recorder()
        self._steps: dict[Lane, dict[int, Step]] = {}
        self._walks: dict[Lane, Conformance] = {}

    def hear(self, lane: Lane, line: Mapping[str, Any]) -> None:
        """Take the line of a step of ``lane``."""
        if lane not in self._steps:
            self._steps[lane] = steps_of(lane)
            self._walks[lane] = Conformance(Course(step.node for step in self._steps[lane].values()))
        self._findings += self._walks[lane].hear(line)
        step = self._steps[lane][line["step"]]
        if self._is_real(step) and line["processing_stage"] == "completed":
            self._recorder.left(self.test, step.node.id, line.get("outcome"))

    def take_findings(self) -> list[str]:
        """Return what was not drawn since the last call."""
        found, self._findings = self._findings, []
        return found

    def _is_real(self, step: Step) -> bool:
        """Whether it is a step of Ragstream's own, not one that a test made or put in its place."""
        return step.node in self._drawn and step.function.__module__.startswith("ragstream.")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended."""
        if report.failed or (report.when == "call" and report.passed):
            self._recorder.ended(_name(report.nodeid), passed=report.passed)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the facts down; fail a run in which no test is left to fail for what was walked after it."""
        if self._findings and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._path is not None and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            facts, before = self._recorder.facts(whole=_is_whole(session)), load_facts(self._path)
            (before.updated(facts, session.config.rootpath) if before else facts).save(self._path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was walked after the last test."""
        for finding in self.take_findings():
            terminalreporter.write_line(f"After the last test: {finding}", red=True)


def _name(nodeid: str) -> str:
    """Return the id of a test without its parameters."""
    return nodeid.partition("[")[0]


def _is_whole(session: pytest.Session) -> bool:
    """Whether the run had every test that runs by default."""
    config = session.config
    narrowed = any(_NARROWING.match(argument) for argument in config.invocation_params.args)
    stopped = bool(session.shouldfail or session.shouldstop)
    return config.args_source is not pytest.Config.ArgsSource.ARGS and not narrowed and not stopped
