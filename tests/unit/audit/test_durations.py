"""Durations of steps: from a server's metrics to a file, and from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstream.audit.durations import average_durations, load_durations
from ragstream.errors import ConfigError
from ragstream.telemetry import Metrics


def test_the_average_of_what_a_server_measured() -> None:
    metrics = Metrics()
    observe, _ = metrics.step("RAG.llm.call")
    metrics.step("RAG.never.run")
    for seconds in (0.1, 0.2, 0.07):
        observe(seconds)
    assert average_durations(metrics.exposition()[0].decode()) == {"RAG.llm.call": 120.0}


def test_a_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    assert load_durations(path) == {}
    path.write_text('{"RAG.llm.call": 1.5}')
    assert load_durations(path) == {"RAG.llm.call": 1.5}
    path.write_text('{"RAG.llm.call": "long"}')
    with pytest.raises(ConfigError, match="not the durations of steps"):
        load_durations(path)
