"""The outcome as a whole."""

from __future__ import annotations

import json

from ragstream.audit.summary import as_json, as_text

from .conftest import WALKS, Saw


def test_a_line_for_each_step_and_how_many(audited: Saw) -> None:
    lines = as_text(audited({**WALKS, "tests/unit/test_lane.py::test_all": {}}).accounts).splitlines()
    assert lines[2] == "🟡 S003 Check · Done?: src/lane.py:18 check"
    assert lines[-1] == "4 implemented, 1 partial"


def test_json_for_programs(audited: Saw) -> None:
    steps = json.loads(as_json(audited(WALKS).accounts))["steps"]
    assert [step["status"] for step in steps] == ["implemented"] * 5
    assert steps[2]["candidates"][0]["file"] == "src/lane.py"
    assert (steps[2]["step"], steps[2]["lane"], steps[2]["confidence"]) == (3, "lane", 1.0)
