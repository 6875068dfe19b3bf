"""Print the page that lists the metrics.

python scripts/list_metrics.py > docs/reference/metrics.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from ragstream.llm.metrics import PrometheusObserver
from ragstream.telemetry import Metrics
from ragstream.telemetry.histogram import Histogram

HEAD = """\
# Metrics

`GET /metrics` gives them in Prometheus's text format. There is nothing of what was asked or answered in
them, and no name of who asked. This page is made from the program by `scripts/list_metrics.py`.

A counter ends in `_total`; a histogram has `_bucket`, `_sum` and `_count`. Durations are in seconds. Beside
these stand the `process_*` metrics of the Prometheus client: memory, CPU time, file descriptors.

[A dashboard for Grafana](../grafana/ragstream.json) shows them: *Dashboards*, *New*, *Import*, and choose
your Prometheus.

| metric | kind | labels | what it counts |
|---|---|---|---|
"""
TAIL = """
Labels are bounded. `model` has 50 values at most, the rest is `other`; `provider` has those that are
configured; all others have the values that the program knows: `cause` is `request` or `disconnect`, `reason`
is `moved` or `rotated`, `told` is `reset`, `cursor_expired` or `cursor_ahead`, `form` is `stream` or `whole`.

## What to watch

How long do people wait?

    histogram_quantile(0.95, sum by (le) (rate(ragstream_first_byte_seconds_bucket[5m])))

Do words flow evenly?

    histogram_quantile(0.99, sum by (le) (rate(ragstream_token_gap_seconds_bucket[5m])))

Does anybody lose events? Anything above zero deserves a look.

    sum by (told) (increase(ragstream_gaps_total[1h]))

Do answers fail?

    sum by (status) (rate(ragstream_answers_total[5m]))

Is work done for nobody? See `RAGSTREAM_ON_DISCONNECT`.

    rate(ragstream_unread_tokens_total[5m])

Is the server full?

    sum by (code) (rate(ragstream_refusals_total[5m]))
"""


Metric = MetricWrapperBase | Histogram


def metrics() -> Iterator[Metric]:
    """Yield every metric of ours, by name."""
    registry = Metrics().registry
    PrometheusObserver(registry)
    ours = [one for one in registry._collector_to_names if isinstance(one, Metric)]  # noqa: SLF001
    yield from sorted(ours, key=name)


def name(metric: Metric) -> str:
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def labels(metric: Metric) -> tuple[str, ...]:
    return tuple(metric._labelnames)  # noqa: SLF001


def row(metric: Metric) -> str:
    (family,) = metric.describe()
    named = ", ".join(f"`{label}`" for label in labels(metric))
    return f"| `{name(metric)}` | {family.type} | {named} | {family.documentation} |"


def page() -> str:
    return HEAD + "\n".join(row(metric) for metric in metrics()) + "\n" + TAIL


if __name__ == "__main__":
    sys.stdout.write(page())
