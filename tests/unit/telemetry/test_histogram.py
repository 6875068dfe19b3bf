"""The histogram of what happens at every token or step: told as prometheus-client tells its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram

from ragstream.telemetry.histogram import Histogram

BOUNDS = (0.001, 0.25, 1, 5)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.0011, 0.25, 0.7, 1.0, 4.99, 5.0, 5.01, 1e9])))
def test_told_as_prometheus_tells_its_own(values: list[float]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    their_histogram = TheirHistogram("gap_seconds", "words", buckets=BOUNDS, registry=theirs)
    our_tally = Histogram("gap_seconds", "words", BOUNDS, ours).labels()
    for value in values:
        their_histogram.observe(value)
        our_tally.observe(value)
    assert told(ours) == told(theirs)


@given(st.lists(st.tuples(st.sampled_from(["a", 'b"\n']), st.sampled_from([0.001, 0.7, 9.0]))))
def test_labels_are_told_as_prometheus_tells_its_own(values: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    their_histogram = TheirHistogram("step_seconds", "words", ["step"], buckets=BOUNDS, registry=theirs)
    our_histogram = Histogram("step_seconds", "words", BOUNDS, ours, "step")
    for step, value in values:
        their_histogram.labels(step).observe(value)
        our_histogram.labels(step).observe(value)
    assert told(ours) == told(theirs)


def told(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
