"""The page of clients names the versions that the tests have."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "clients.md"
LOCKS = ("requirements.lock", "requirements-interop.lock")
NO_CLIENTS = {"@copilotkit/aimock", "jsdom", "mermaid", "react", "react-dom", "sucrase"}


def test_the_page_of_clients_names_what_is_tested() -> None:
    rows = re.findall(r"^\| `([^`]+)` \((npm|PyPI)\) \| ([\d.]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    written = {
        registry: {(name, version) for name, of, version in rows if of == registry} for _, registry, _ in rows
    }
    assert written["npm"] == _npm()
    locked = {pair for lock in LOCKS for pair in re.findall(r"^([\w.-]+)==(\S+)", _read(lock), re.MULTILINE)}
    assert written["PyPI"] <= locked


def _npm() -> set[tuple[str, str]]:
    pinned: dict[str, str] = json.loads(_read("tests/interop/package.json"))["dependencies"]
    clients = {name: pin for name, pin in pinned.items() if name not in NO_CLIENTS}
    aliases = {name: re.fullmatch(r"npm:(.+)@(.+)", pin) for name, pin in clients.items()}
    return {
        (found[1], found[2]) if (found := aliases[name]) else (name, pin) for name, pin in clients.items()
    }


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")
