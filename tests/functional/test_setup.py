"""`scripts/setup` as a new user meets it, with a stand-in for uv, so that nothing is downloaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cat", "cmp", "dirname", "grep", "ln", "mkdir")


class Machine:
    """A clone, and a PATH with nothing on it but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "a clone"
        self.path = folder / "bin"
        (self.clone / "scripts").mkdir(parents=True)
        self.path.mkdir()
        for name in ("scripts/setup", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone / name)
        for tool in TOOLS:
            (self.path / tool).symlink_to(str(shutil.which(tool)))

    def add(self, name: str, script: str) -> None:
        """Put a program on PATH."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        program.chmod(0o755)

    def add_uv(self) -> Path:
        """Put a uv on PATH that only notes how it was called; return its notes."""
        notes = self.path / "notes"
        self.add("uv", f'echo "$*" >>"{notes}"')
        return notes

    def setup(self, clone: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "HOME": str(self.path), **variables}
        command = [str((clone or self.clone) / "scripts/setup")]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PYTHON = Path(sys.executable).resolve()
REAL = f'exec "{PYTHON}" "$@"'
QUICK = f"""case "$*" in
    "-m venv"*) mkdir -p .venv/bin && ln -s "{PYTHON}" .venv/bin/python;;
    *) {REAL};;
esac"""  # an environment without pip, which a stand-in for uv does not miss
TOO_OLD = "exit 1"  # what the version check of a Python 3.9 comes to
SHIM = "echo 'no such version' >&2; exit 127"


def test_the_first_python_that_runs_and_fits_is_taken(machine: Machine) -> None:
    notes = machine.add_uv()
    machine.add("python3", SHIM)
    machine.add("python3.14", TOO_OLD)
    machine.add("python3.12", REAL)
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert (machine.clone / ".venv/bin/python").exists()
    assert "no such version" not in done.stderr
    installed, itself = [line for line in notes.read_text("utf-8").splitlines() if "install" in line]
    assert "--require-hashes --only-binary :all: --compile-bytecode -r requirements.lock" in installed
    assert "--no-deps --no-build-isolation --no-index -e ." in itself


def test_the_second_time_nothing_is_done(machine: Machine) -> None:
    notes = machine.add_uv()
    machine.add("python3", QUICK)
    assert machine.setup().returncode == 0
    once = notes.read_text("utf-8")
    (machine.path / "uv").unlink()
    (machine.path / "python3").unlink()
    again = machine.setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert notes.read_text("utf-8") == once


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_change_is_installed(machine: Machine, changed: str) -> None:
    notes = machine.add_uv()
    machine.add("python3", QUICK)
    assert machine.setup().returncode == 0
    once = notes.read_text("utf-8")
    with (machine.clone / changed).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert machine.setup().returncode == 0
    assert notes.read_text("utf-8") == 2 * once


def test_a_clone_that_moved_is_installed_again(machine: Machine, tmp_path: Path) -> None:
    notes = machine.add_uv()
    machine.add("python3", QUICK)
    assert machine.setup().returncode == 0
    once = notes.read_text("utf-8")
    moved = machine.clone.rename(tmp_path / "elsewhere")
    assert machine.setup(moved).returncode == 0
    assert notes.read_text("utf-8") == 2 * once


def test_without_a_python_one_line_says_so(machine: Machine) -> None:
    machine.add("python3", TOO_OLD)
    failed = machine.setup()
    assert failed.returncode == 1
    assert failed.stderr.startswith("setup: no Python from 3.11 to 3.14")
    assert failed.stderr.count("\n") == 1


def test_without_venv_one_line_names_the_package(machine: Machine) -> None:
    machine.add("python3", f'case "$*" in *ensurepip*) exit 1;; esac\n{REAL}')
    failed = machine.setup()
    major, minor = sys.version_info[:2]
    assert failed.returncode == 1
    assert failed.stderr.endswith(f"apt install python{major}.{minor}-venv\n")
    assert failed.stderr.count("\n") == 1


def test_a_python_can_be_named(machine: Machine) -> None:
    machine.add_uv()
    machine.add("mine", QUICK)
    assert machine.setup(PYTHON="mine").returncode == 0
