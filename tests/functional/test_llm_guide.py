"""The guide to async generators runs as it stands, and the reference pages leave nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ragstream import errors
from ragstream.errors import ErrorCode
from ragstream.events import EventType
from ragstream.events.grammar import Phase

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "tutorial" / "async-generators.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text( about)?\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
RULER = "~" * 70


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block of the guide prints, all run one after the other in one Python."""
    folder = tmp_path_factory.mktemp("guide")
    blocks = [match[1] for match in BLOCK.finditer(GUIDE.read_text("utf-8"))]
    program = folder / "guide.py"
    program.write_text(f"\nprint({RULER!r})\n".join(_futures_first(blocks)), "utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    assert (folder / "timelines.svg").read_text().count("<rect") == 6
    return run.stdout.split(f"{RULER}\n")


def _futures_first(blocks: list[str]) -> list[str]:
    """Return the blocks with annotations unevaluated, as the client's own module has them."""
    return [f"from __future__ import annotations\n{blocks[0]}", *blocks[1:]]


def test_every_block_prints_what_the_page_says(outputs: list[str]) -> None:
    matches = list(BLOCK.finditer(GUIDE.read_text("utf-8")))
    assert len(matches) == len(outputs)
    for match, printed in zip(matches, outputs, strict=True):
        if not match[2]:
            assert printed == (match[3] or ""), match[1]


def test_concurrent_questions_overlap_and_blocking_ones_do_not(outputs: list[str]) -> None:
    [timelines] = [printed for printed in outputs if printed.startswith("blocking\n")]
    spans = re.findall(r"question \d ( *)(█+)", timelines)
    begins, ends = [len(gap) for gap, _ in spans], [len(gap) + len(bar) for gap, bar in spans]
    assert begins[1] >= ends[0] - 1
    assert begins[2] >= ends[1] - 1
    assert max(begins[3:]) < min(ends[3:])


def _request_codes() -> list[str]:
    """Return the codes that stand in the classes of what may be wrong with a request."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [str(kind.code) for kind in kinds if issubclass(kind, errors.RequestError | errors.Unavailable)]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("events.md", [*EventType, *(kind.name for kind in EventType), *(phase.value for phase in Phase)]),
        ("errors.md", [*ErrorCode, *_request_codes()]),
    ],
)
def test_the_reference_leaves_nothing_out(page: str, names: list[str]) -> None:
    text = (DOCS / "reference" / page).read_text("utf-8")
    assert [str(name) for name in names if f"`{name!s}`" not in text] == []


@pytest.mark.parametrize("page", ["events.md", "errors.md"])
def test_the_blocks_of_the_reference_run(page: str) -> None:
    blocks = BLOCK.finditer((DOCS / "reference" / page).read_text("utf-8"))
    program = "\n".join(match[1] for match in blocks)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, b"")
