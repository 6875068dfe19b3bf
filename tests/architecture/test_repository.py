"""The repository as a whole: it is the same on every machine, and its parts agree with each other."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BELONGS_TO_A_MACHINE = re.compile(
    rb"/(?:root|work|home/\w+|Users/\w+)/"  # somebody's folders
    rb"|pypi\.org|pythonhosted\.org|registry\.npmjs\.org"  # registries: everybody has their own
)
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # SHA-256 of the licence's text


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this tree is not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in _tracked()
        for match in BELONGS_TO_A_MACHINE.finditer(path.read_bytes())
    ]
    assert not found


def test_the_lock_has_hashes_and_no_hosts() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert not re.search(r"://|^-", lock, re.MULTILINE)
    pins = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]
    assert pins
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_lock_covers_what_the_project_declares(project: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    declared = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in declared}
    assert names <= locked, "run `make lock`"


def test_version_and_changelog_agree(project: dict[str, Any]) -> None:
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest.group(1) == project["project"]["version"]


def test_the_licence_is_apache_2(project: dict[str, Any]) -> None:
    assert project["project"]["license"] == "Apache-2.0"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_the_readme_fits_on_a_few_screens() -> None:
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= 150


def test_every_benchmark_is_run_with_the_others_or_set_apart() -> None:
    folder = ROOT / "benchmarks"
    named = re.findall(r'"(\w+\.py)"', (folder / "full.py").read_text("utf-8"))
    assert set(named) == {path.name for path in folder.glob("*.py")}
