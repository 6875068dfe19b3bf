"""The page of the metrics and the dashboard say what the program measures, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from ragstream.llm.metrics import PrometheusObserver
from ragstream.telemetry import Metrics
from ragstream.telemetry.histogram import Histogram

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "list_metrics.py"
PAGE = ROOT / "docs" / "reference" / "metrics.md"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana" / "ragstream.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGET_LABELS = {"job", "instance"}  # which Prometheus adds


def _measured() -> dict[str, set[str]]:
    """Return the labels of every series, by its name."""
    registry = Metrics().registry
    PrometheusObserver(registry)
    samples = [sample for family in registry.collect() for sample in family.samples]
    found: dict[str, set[str]] = {sample.name: set() for sample in samples}  # of the process, among others
    for metric in registry._collector_to_names:
        if not isinstance(metric, MetricWrapperBase | Histogram):
            continue
        labels = set(metric._labelnames)
        for name in registry._collector_to_names[metric]:
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


MEASURED = _measured()


def _expressions(panel: dict[str, Any]) -> Iterator[str]:
    for target in panel["targets"]:
        yield target["expr"]


def test_the_page_is_current() -> None:
    drawn = subprocess.run([sys.executable, SCRIPT], capture_output=True, check=True, timeout=60)
    assert PAGE.read_bytes() == drawn.stdout, f"python scripts/list_metrics.py > {PAGE.relative_to(ROOT)}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_measured(panel: dict[str, Any]) -> None:
    if "process_open_fds" not in MEASURED and "process_" in str(panel["targets"]):
        pytest.skip("the process is measured on Linux only")
    assert panel["targets"]
    for expression in _expressions(panel):
        names = re.findall(r"\b(?:ragstream|process)_\w+", expression)
        assert names, expression
        assert set(names) <= MEASURED.keys(), expression
        known = TARGET_LABELS.union(*(MEASURED[name] for name in names))
        grouped = {
            label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")
        }
        matched = set(re.findall(r"(\w+)=~?\"", expression))
        assert grouped | matched <= known, expression
        assert expression.count("(") == expression.count(")"), expression
        for name in names:
            if name.endswith("_total") and "increase" not in expression:
                assert f"rate({name}" in expression, f"a counter is read as a rate: {expression}"
            if name.endswith("_bucket"):
                assert "histogram_quantile" in expression
                assert "le" in grouped, expression


def test_every_metric_of_ours_has_a_panel() -> None:
    asked = " ".join(expression for panel in PANELS for expression in _expressions(panel))
    for name in MEASURED:
        family = re.sub(r"_(total|bucket|sum|count|created)$", "", name)
        assert family.startswith("process") or family in asked, family


def test_every_expression_of_the_page_asks_for_what_is_measured() -> None:
    for name in re.findall(r"ragstream_\w+(?=[\[{])", PAGE.read_text("utf-8")):
        assert name in MEASURED, name


def test_the_dashboard_can_be_imported() -> None:
    panels = DASHBOARD["panels"]
    assert DASHBOARD["uid"] == "ragstream"
    assert DASHBOARD["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels)
    (source, *_) = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}
    occupied = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(occupied)) == len(occupied), "two panels lie upon each other"
