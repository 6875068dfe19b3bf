"""``ragstream audit`` as people run it, over code in a folder of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ragstream.cli import app
from ragstream.errors import BlueprintError

DRAWN = """flowchart TD
  subgraph chat[Chat]
    Search[Search the knowledge base] --> Prompt[Build the prompt]
    Prompt --> Moderate{Question allowed by moderation?}
    Moderate -->|yes| Send[Send the answer]
  end
"""
CODE = '''
def search_knowledge_base(query):
    """Search the knowledge base."""
    return index[query]
def build_prompt(question):
    return "Answer: " + question
def send_answer(answer):
    print(answer)
send_answer(build_prompt(search_knowledge_base("?")))
'''
BLUEPRINT = """flowchart TD
  subgraph lane["a lane"]
    Begin(["S001 · Begin"]) --> Check{"S002 · Go on?"}
    Check -->|yes| Work["S003 · Work"]
    Check -->|no| Finish(["S004 · Finish"])
    Work --> Finish
    Rescue[["S005 · Rescue"]] --> Finish
  end
  class Begin,Check,Work,Finish,Rescue test
"""
BROKEN = {
    "syntax": ("Work --> Finish", "Work ==> Finish", 6, "edges are --> and -.->"),
    "duplicate number": ("S004", "S003", 5, "take a number never used"),
    "unknown shape": ('["S003 · Work"]', '("S003 · Work")', 4, 'use ["box"], {"decision"}'),
    "edge to nowhere": ("Work --> Finish", "Work --> Finsh", 6, "draw it, or mend its id"),
    "cycle without a decision": ("Work --> Finish", "Work --> Work", 4, "a circle without a decision"),
    "unreachable step": ("  end", '    Lost["S009 · Lost"] --> Work\n  end', 8, "no way leads to it"),
    "two starts": ("  end", '    Lost(["S009 · Lost"]) --> Work\n  end', 8, "a lane has one"),
    "two rescue nodes": ("  end", '    Lost[["S009 · Lost"]] --> Work\n  end', 8, "lead an edge to one"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "chat.py").write_text(CODE)
    (tmp_path / "pipeline.mmd").write_text(DRAWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _audit(
    capsys: pytest.CaptureFixture[str], *arguments: str, of: tuple[str, ...] | None = None
) -> tuple[int, list[str]]:
    """Run the command in this process; return its exit code and what it printed."""
    capsys.readouterr()
    what = ("--diagram", "pipeline.mmd", "--code", "src") if of is None else of
    try:
        app(["audit", *what, *arguments], standalone_mode=False)
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    return code, capsys.readouterr().out.splitlines()


def test_a_line_for_each_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = _audit(capsys)
    assert code == 0
    assert [line[0] for line in lines[:4]] == ["✅", "✅", "❌", "✅"]
    assert lines[0].endswith("S001 Search · Search the knowledge base: chat.py:2 search_knowledge_base")
    assert lines[4] == "3 implemented, 1 missing"


def test_pages_are_written_anywhere_and_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--pages", "docs/steps")
    code, lines = _audit(capsys, "--check", *where)
    assert code == 1
    assert lines[0] == "S003 Moderate: ❌ Nothing in the code comes near to this step."
    assert len(lines) == 1 + 6  # registry, index and pages are missing
    assert _audit(capsys, "--write", *where)[0] == 0
    assert sorted(path.name for path in (folder / "docs/steps").iterdir()) == [
        "README.md",
        "STEP-1-RAG.step.search.the.knowledge.base.md",
        "STEP-2-RAG.step.build.the.prompt.md",
        "STEP-3-RAG.step.question.allowed.by.moderation.md",
        "STEP-4-RAG.step.send.the.answer.md",
        "rag_steps.yml",
    ]
    assert _audit(capsys, "--check", *where) == (1, lines[:1])
    page = folder / "docs/steps/STEP-1-RAG.step.search.the.knowledge.base.md"
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / link).is_file(), link
    page.write_text(text.replace("Status: ✅", "Status: ❌") + "\nA person's word.\n", "utf-8")
    code, lines = _audit(capsys, "--check", *where)
    assert "claims ❌, but it is ✅; run ragstream audit --diagram pipeline.mmd" in lines[1]
    _audit(capsys, "--write", *where)
    assert page.read_text("utf-8") == text + "\nA person's word.\n"


def test_a_pipeline_that_is_all_there_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = folder / "pipeline.mmd"
    drawn.write_text("flowchart TD\n  Search[Search the knowledge base] --> Send[Send the answer]\n")
    _audit(capsys, "--write")
    assert _audit(capsys, "--check") == (0, [])


def test_json_for_other_tools(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = _audit(capsys, "--format", "json")
    steps = json.loads("\n".join(lines))["steps"]
    assert [step["status"] for step in steps] == ["implemented", "implemented", "missing", "implemented"]
    code, lines = _audit(capsys, "--format", "json", "--check")
    assert code == 1
    assert json.loads(lines[0]) == {
        "finding": "S003 Moderate: ❌ Nothing in the code comes near to this step."
    }


@pytest.mark.parametrize(("old", "new", "line", "fix"), BROKEN.values(), ids=BROKEN)
def test_a_broken_diagram_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: int, fix: str
) -> None:
    assert old in BLUEPRINT
    broken = BLUEPRINT.replace(old, new, 1)
    broken += "  class Lost test\n" if "Lost" in broken else ""
    (folder / "pipeline.mmd").write_text(broken, "utf-8")
    with pytest.raises(BlueprintError) as caught:
        _audit(capsys)
    assert str(caught.value).startswith(f"pipeline.mmd, line {line}: ")
    assert fix in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trace_is_replayed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pipeline.mmd").write_text(BLUEPRINT, "utf-8")
    walk = [(1, 2, None), (2, 3, "yes"), (3, 4, None), (4, None, None)]
    lines = [
        {"step": step, "request_id": "r", "next_step": to, "processing_stage": "completed"}
        | ({"outcome": outcome} if outcome else {})
        for step, to, outcome in walk
    ]
    log = folder / "run.jsonl"
    of = ("--diagram", "pipeline.mmd", "--trace", "run.jsonl")
    log.write_text("\n".join(map(json.dumps, lines)))
    assert _audit(capsys, of=of) == (0, [])
    log.write_text("\n".join(map(json.dumps, [lines[0] | {"next_step": 4}, *lines[3:]])))
    code, found = _audit(capsys, of=of)
    assert code == 1
    assert found == ["line 1: request r: S001 Begin -> S004 Finish: no such edge; drawn: S002 Check"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--diagram", "pipeline.mmd"), "--diagram and --code belong together"),
        (("--pages", "x"), "--pages needs --diagram and --code"),
        (("--diagram", "none.mmd", "--code", "src"), "--diagram none.mmd: "),
        (("--diagram", "pipeline.mmd", "--code", "none"), "--code none: no Python file there"),
        (("--trace", "none.jsonl"), "--trace none.jsonl: No such file"),
        ((), "docs/architecture is not here; run in a checkout of Ragstream"),
    ],
)
def test_a_wrong_call_is_one_line(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ragstream", "audit", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


MEMORY = """
import resource, sys
from pathlib import Path
from ragstream.audit import read_any, search_code
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
search_code(read_any(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_a_hundred_thousand_lines_in_bounded_memory(folder: Path) -> None:
    for number in range(250):
        package = folder / "large" / f"package_{number % 20}"
        package.mkdir(parents=True, exist_ok=True)
        (package / f"module_{number}.py").write_text(_module(number))
    assert sum(path.read_bytes().count(b"\n") for path in (folder / "large").rglob("*.py")) >= 100_000
    command = [sys.executable, "-c", MEMORY, "pipeline.mmd", "large"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    assert int(done.stdout) < 60  # MiB more than before


def _module(number: int) -> str:
    words = ("stock", "order", "price", "customer", "parcel", "invoice", "address", "weight")
    functions = [
        f"def {words[n % 8]}_{words[(n + number) % 8]}_{n}(value, other):\n"
        f'    """Return the {words[n % 7]} of the {words[n % 5]}."""\n'
        f"    result = value * {n} + other\n"
        f"    if result > {n}:\n"
        f"        return record(result, 'the answer of {words[n % 3]}')\n"
        f"    return result\n\n\n"
        for n in range(50)
    ]
    return "".join(functions)
