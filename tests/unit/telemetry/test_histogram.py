"""The histogram of what happens at every token: told as prometheus-client tells its own."""

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
    our_histogram = Histogram("gap_seconds", "words", BOUNDS, ours)
    for value in values:
        their_histogram.observe(value)
        our_histogram.observe(value)
    told = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == told
