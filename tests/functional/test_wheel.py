"""The built wheel, alone: in an empty environment that has the dependencies and nothing of this tree."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 60.0

Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def ragstream(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own; return the command."""
    folder = tmp_path_factory.mktemp("env")
    _run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    ours = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # A path in a .pth file is looked through for packages, but not for further .pth files: the editable
    # project of this tree stays out of sight.
    (Path(ours) / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    found = _run(python, "-c", "import ragstream; print(ragstream.__file__)", cwd=folder)
    assert Path(found.strip()).is_relative_to(folder)
    return folder / "bin" / "ragstream"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return a folder with one document in it."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "otter.md").write_text("# Otters\n\nAn otter eats fish and crabs.\n", "utf-8")
    return tmp_path


def test_the_wheel_holds_what_the_program_needs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.is_file()}
    source = {name for name in shipped if "__pycache__" not in name}
    assert source <= names
    assert all(name.startswith(("ragstream/", "ragstream-")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_help_is_a_page(ragstream: Path, empty: Path) -> None:
    text = _run(ragstream, "--help", cwd=empty)
    assert all(command in text for command in ("serve", "ask", "ingest", "doctor"))


def test_ask_answers_from_one_file(ragstream: Path, empty: Path) -> None:
    answer = _run(ragstream, "ask", "What does an otter eat?", "papers/otter.md", cwd=empty)
    assert "An otter eats fish and crabs. [1]" in answer
    assert "otter.md" in answer


def test_serve_answers_and_shows_its_page(ragstream: Path, empty: Path, serving: Serving) -> None:
    question = {"messages": [{"role": "user", "content": "What does an otter eat?"}]}
    with serving([str(ragstream), "serve", "papers"], empty) as client:
        assert client.get("/").headers["content-type"].startswith("text/html")
        answer = client.post("/api/v1/chatbot/chat", json=question).raise_for_status().json()
    assert "An otter eats fish and crabs. [1]" in answer["message"]["content"]
