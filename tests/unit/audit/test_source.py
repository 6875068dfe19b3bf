"""Foreign code, read and not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstream.audit.source import Symbol, modules, read_module

CODE = b'''
"""A module."""
import os

class Index:
    """Keeps articles."""
    limit = 5
    def __init__(self, connection):
        self.connection = connection
    def search(self, query):
        """Find the nearest."""
        return self.connection.execute("SELECT nearest", query)
    @property
    def size(self): return 1
    def later(self): raise NotImplementedError
    def hollow(self):
        """Say something."""

@app.post("/ask")
async def ask(question):
    def inner(): return 2
    return inner()

if __name__ == "__main__":
    run(os.environ)
'''


def _symbols() -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in read_module(CODE, "desk/index.py").symbols}


def test_what_could_do_a_step() -> None:
    assert list(_symbols()) == ["Index", "Index.search", "Index.size", "ask", "ask.inner", "<module>"]


def test_what_a_symbol_says_and_where() -> None:
    said = _symbols()["Index.search"].said
    assert [(each.text, each.line) for each in said["name"]] == [("search", 10)]
    assert [each.text for each in said["docstring"]] == ["Find the nearest."]
    assert [(each.text, each.line) for each in said["calls"]] == [("self.connection.execute", 12)]
    assert ("SELECT nearest", 12) in [(each.text, each.line) for each in said["text"]]
    assert said["place"][0].text == "Index desk/index"


def test_a_class_says_its_own_and_not_what_its_methods_say() -> None:
    texts = [each.text for each in _symbols()["Index"].said["text"]]
    assert "connection" in texts
    assert "SELECT nearest" not in texts


def test_who_is_led_to_without_a_call() -> None:
    registered = {name for name, symbol in _symbols().items() if symbol.registered}
    assert registered == {"ask", "<module>"}
    assert {"run", "environ"} <= read_module(CODE, "x.py").used


def test_tests_data_and_what_is_no_python_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.py", "tests/b.py", "test_c.py", "venv/d.py", ".hidden/e.py", "pkg/f.py", "setup.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("def work(): return 1\n")
    (tmp_path / "old.py").write_text("print 'Python 2'\n")
    (tmp_path / "null.py").write_bytes(b"\0")
    (tmp_path / "large.py").write_text("x = 1\n" * 400_000)
    assert [module.file for module in modules(tmp_path)] == ["a.py", "pkg/f.py"]
    assert [module.file for module in modules(tmp_path / "a.py")] == ["a.py"]


@pytest.mark.filterwarnings("error")
def test_the_warnings_of_other_peoples_code_are_theirs() -> None:
    assert read_module(rb"def work(): return '\d'", "x.py").symbols
