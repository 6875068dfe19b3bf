"""What can be seen of a function without running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragstream.audit.functions import behaviour, intent, marked_in, place, settings_read

Functions = Mapping[str, Callable[..., Any]]


def test_where_it_is(functions: Functions, root: Path) -> None:
    file, line = place(functions["Work"], root)
    assert file == "src/lane.py"
    assert (root / file).read_text().splitlines()[line - 1] == '@step("Work")'
    assert place(functions["Work"], root / "elsewhere")[0] == str(root / "src/lane.py")


def test_what_it_is_for(functions: Functions) -> None:
    assert intent(functions["Begin"]) == "Begin.\n\nWith care."
    assert intent(functions["Finish"]) == ""


def test_what_it_uses(functions: Functions) -> None:
    assert list(behaviour(functions["Work"])) == [
        "A coroutine: it says nothing and writes on the state.",
        "Uses of the kit: `tools`.",
        "Reads the settings `hours`, `strength`.",
        "Adds to its log line: `worked`, `hours`.",
    ]
    assert settings_read(functions["Begin"]) == []
    assert next(behaviour(functions["Check"])).startswith("A plain function: it decides")


def test_what_is_marked_is_found_without_importing(root: Path) -> None:
    (root / "src" / "more.py").write_text('import no.such.module\n@step("Lost")\nasync def lost(): ...\n')
    found = {node: (path.name, name) for node, path, _, name in marked_in(root / "src")}
    assert found["Lost"] == ("more.py", "lost")
    assert found["Check"] == ("lane.py", "check")
