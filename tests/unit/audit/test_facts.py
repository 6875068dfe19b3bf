"""What test runs saw, and how runs are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstream.audit.facts import Facts, Recorder, load_facts, standing
from ragstream.errors import ConfigError

OLD = Facts(
    whole=True, walks={"tests/a.py::test_one": {"Work": [""]}, "tests/a.py::test_two": {"Check": ["no"]}}
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").write_text("def test_one(): ...\nasync def test_two(): ...\n")
    return tmp_path


def test_only_tests_that_passed_each_time_count() -> None:
    recorder = Recorder()
    for test in ("t::passed", "t::failed", "t::never_ended"):
        recorder.left(test, "Work", None)
        recorder.left(test, "Check", "no")
    for passed in (True, False, True):  # its parameters
        recorder.ended("t::failed", passed=passed)
    recorder.ended("t::passed", passed=True)
    facts = recorder.facts(whole=False)
    assert facts.walks == {"t::failed": {}, "t::passed": {"Check": ["no"], "Work": [""]}}
    assert (facts.through("Check"), facts.ways("Check")) == (["t::passed"], {"no"})


def test_what_went_through_least_comes_first() -> None:
    facts = Facts(whole=True, walks={"t::a": {"Work": [""], "Check": ["no"]}, "t::b": {"Work": [""]}})
    assert facts.through("Work") == ["t::b", "t::a"]


def test_a_partial_run_forgets_nothing_of_a_whole_one(root: Path) -> None:
    newer = Facts(whole=False, walks={"tests/a.py::test_two": {}, "tests/b.py::test_new": {"Begin": [""]}})
    both = OLD.updated(newer, root)
    assert both.whole
    assert both.walks == {
        "tests/a.py::test_one": {"Work": [""]},
        "tests/a.py::test_two": {},
        "tests/b.py::test_new": {"Begin": [""]},
    }


def test_a_test_that_is_gone_is_forgotten(root: Path) -> None:
    (root / "tests" / "a.py").write_text("def test_one(): ...\n")
    assert OLD.updated(Facts(whole=False, walks={}), root).walks == {"tests/a.py::test_one": {"Work": [""]}}
    assert standing({"tests/gone.py::test_one", "tests/a.py::TestIt::test_one"}, root) == {
        "tests/a.py::TestIt::test_one"
    }


def test_facts_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    assert load_facts(path) is None
    OLD.save(path)
    assert load_facts(path) == OLD


@pytest.mark.parametrize("content", [b"", b"[]", b'{"whole": 1}', b"\xff"])
def test_what_is_no_facts_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not the facts of a test run"):
        load_facts(path)
