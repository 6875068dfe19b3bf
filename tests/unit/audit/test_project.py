"""A checkout audited: its registry, its pages, and every way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ragstream.audit.facts import Facts
from ragstream.audit.project import DURATIONS, FACTS, Project
from ragstream.blueprint import Diagram, read_diagram
from ragstream.errors import ConfigError

from .conftest import DRAWN, PARITY, UNIT, WALKS, Saw


@pytest.fixture
def written(audited: Saw) -> Project:
    """A project whose tests ran and whose pages were written."""
    project = audited(WALKS)
    project.folder.write(project.accounts)
    assert list(audited().findings()) == []
    return project


def _page(root: Path, number: int) -> Path:
    (page,) = (root / "docs/architecture/steps").glob(f"STEP-{number}-*.md")
    return page


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_what_is_written(written: Project, root: Path) -> None:
    home = root / "docs/architecture"
    assert sorted(path.name for path in (home / "steps").iterdir()) == [
        "README.md",
        "STEP-1-RAG.test.begin.md",
        "STEP-2-RAG.test.do.the.work.md",
        "STEP-3-RAG.test.done.md",
        "STEP-4-RAG.test.finish.md",
        "STEP-5-RAG.test.rescue.md",
    ]
    index = (home / "steps" / "README.md").read_text("utf-8")
    assert "| [3 — Done?](STEP-3-RAG.test.done.md) | ✅ | decision | test |" in index
    assert f"```mermaid\n{DRAWN}```" in index
    assert written.folder.write(written.accounts) == []


def test_the_registry(written: Project, root: Path) -> None:
    entries = msgspec.yaml.decode((root / "docs/architecture/rag_steps.yml").read_bytes())
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[2] == {
        "step": 3,
        "id": "RAG.test.done",
        "node": "Check",
        "label": "Done?",
        "type": "decision",
        "category": "test",
        "lane": "lane",
        "function": "lane_of_steps.check",
        "file": "src/lane.py",
        "incoming": [{"from": "Work"}],
        "outgoing": [
            {"to": "Work", "outcome": "no", "taken": True},
            {"to": "Finish", "outcome": "yes", "taken": True},
        ],
        "tests": {"unit": [UNIT, PARITY], "parity": [PARITY]},
        "duration_ms": None,
    }


def test_a_fresh_clone_says_the_same(written: Project, audited: Saw, root: Path) -> None:
    (root / FACTS).unlink()
    assert list(audited().findings()) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Status: ✅", "Status: 🟡", "claims 🟡, but it is ✅"),
        (
            "- [ ] Integration tests: none",
            "- [x] Integration tests: many",
            "it says “- [x] Integration tests",
        ),
        ("followed by `Work` on `no`, ", "followed by ", "is stale"),
        ("- [x] the audit says ✅\n", "", "it should say “- [x] the audit says ✅”"),
    ],
)
def test_a_false_page_is_found(
    written: Project, audited: Saw, root: Path, old: str, new: str, words: str
) -> None:
    _change(_page(root, 3), old, new)
    (finding,) = audited().findings()
    assert finding.startswith("STEP-3-RAG.test.done.md")
    assert words in finding
    assert finding.endswith("; run ragstream audit --write")
    assert "\n" not in finding
    written.folder.write(written.accounts)
    assert list(audited().findings()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("src/lane.py:18", "src/lane.py:99"),
        ("(score 1.00)", "(score 0.90)"),
        ("Confidence: 1.00", "Confidence: 0.50"),
        ("**Duration:** not measured", "**Duration:** 7 ms on average in the last benchmark"),
        ("\n\n## Links", "\n\n\nA person's word.\n\n## Links"),
    ],
)
def test_what_does_not_count(written: Project, audited: Saw, root: Path, old: str, new: str) -> None:
    _change(_page(root, 3), old, new)
    assert list(audited().findings()) == []


def test_a_missing_page_and_one_too_many(written: Project, audited: Saw, root: Path) -> None:
    page = _page(root, 3)
    page.rename(page.with_name("STEP-9-RAG.test.gone.md"))
    missing, extra = audited().findings()
    assert missing == "STEP-3-RAG.test.done.md is missing; run ragstream audit --write"
    assert extra.startswith("STEP-9-RAG.test.gone.md is of no step that is drawn; move what is worth")


def test_a_stale_registry(written: Project, audited: Saw, root: Path) -> None:
    _change(root / "docs/architecture/rag_steps.yml", "label: Finish", "label: Finished")
    (finding,) = audited().findings()
    assert finding.startswith("rag_steps.yml is stale: it says “  label: Finished”")


def test_a_page_whose_label_changed_moves_with_its_text(
    written: Project, audited: Saw, root: Path, functions: dict[str, Callable[..., object]]
) -> None:
    page = _page(root, 3)
    page.write_text(page.read_text("utf-8") + "\nA person's word.\n", "utf-8")
    renamed = Project(root, read_diagram(DRAWN.replace("Done?", "All done?")), functions)
    assert any("STEP-3-RAG.test.all.done.md is missing" in finding for finding in renamed.findings())
    renamed.folder.write(renamed.accounts)
    assert _page(root, 3).name == "STEP-3-RAG.test.all.done.md"
    assert "A person's word." in _page(root, 3).read_text("utf-8")


def test_a_second_page_of_a_step_is_left_for_a_person(written: Project, audited: Saw, root: Path) -> None:
    page = _page(root, 3)
    other = page.with_name("STEP-3-RAG.test.old.name.md")
    other.write_text("A person's word.", "utf-8")
    assert [finding.partition(" ")[0] for finding in audited().findings()] == [other.name]
    written.folder.write(written.accounts)
    assert other.read_text("utf-8") == "A person's word."


def test_a_docstring_that_changed_needs_no_test_run(
    written: Project, root: Path, diagram: Diagram, functions: dict[str, Callable[..., object]]
) -> None:
    (root / FACTS).unlink()
    functions["Finish"].__doc__ = "Finish at last."
    project = Project(root, diagram, functions)
    (finding,) = project.findings()
    assert "it says “Finish”, it should say “Finish at last.”" in finding
    project.folder.write(project.accounts)
    assert list(Project(root, diagram, functions).findings()) == []
    assert "test_all" in _page(root, 4).read_text("utf-8")


def test_a_renamed_test_is_named_and_mended(written: Project, audited: Saw, root: Path) -> None:
    (root / FACTS).unlink()
    _change(root / "tests/unit/test_lane.py", "test_two_ways_are_the_same", "test_renamed")
    findings = list(audited().findings())
    assert [finding.partition(" ")[0] for finding in findings] == [
        "rag_steps.yml",
        *(f"STEP-{n}-{name}.md" for n, name in ((1, "RAG.test.begin"), (2, "RAG.test.do.the.work"))),
        "STEP-3-RAG.test.done.md",
        "STEP-4-RAG.test.finish.md",
    ]
    assert all("test_two_ways_are_the_same" in finding for finding in findings)
    project = audited()
    project.folder.write(project.accounts)
    assert list(audited().findings()) == []


def test_an_edge_that_no_test_took_is_found_after_a_whole_run(
    written: Project, audited: Saw, root: Path
) -> None:
    walks = {
        test: {node: ways for node, ways in walk.items() if node != "Rescue"} for test, walk in WALKS.items()
    }
    part = list(audited(walks, whole=False).findings())
    assert not any("no test took" in finding for finding in part)
    whole = list(audited(walks).findings())
    assert "S005 Rescue: no test took the way `Rescue --> Finish`" in whole
    assert any("STEP-5-RAG.test.rescue.md claims ✅, but it is 🟡" in finding for finding in whole)


def test_an_unbound_node_is_found(written: Project, root: Path, diagram: Diagram) -> None:
    project = Project(root, diagram, {})
    findings = list(project.findings())
    assert "S003 Check: 🔌 No function is bound to it." in findings


def test_durations_come_from_the_last_benchmark(written: Project, audited: Saw, root: Path) -> None:
    (root / DURATIONS).write_text('{"RAG.test.done": 0.25}')
    project = audited()
    assert list(project.findings()) == []
    project.folder.write(project.accounts)
    assert "- **Duration:** 0.25 ms on average in the last benchmark" in _page(root, 3).read_text("utf-8")
    (root / DURATIONS).unlink()
    assert audited().accounts[2].milliseconds == 0.25


def test_elsewhere_it_says_where_it_belongs(tmp_path: Path, diagram: Diagram) -> None:
    with pytest.raises(ConfigError, match="run in a checkout of Ragstream"):
        Project(tmp_path / "elsewhere", diagram, {})


def test_a_broken_registry_is_one_line(written: Project, audited: Saw, root: Path) -> None:
    (root / "docs/architecture/rag_steps.yml").write_text("- step: [")
    with pytest.raises(ConfigError, match="not a registry") as caught:
        audited()
    assert "\n" not in str(caught.value)


def test_the_facts_file_is_where_the_makefile_writes_it(pytestconfig: pytest.Config) -> None:
    assert f"--rag-facts {FACTS}" in (pytestconfig.rootpath / "Makefile").read_text("utf-8")
    assert Facts(whole=True, walks={}).ways("Check") == set()
