"""A histogram for what happens at every token or step.

The one of prometheus-client takes a lock for each of three figures; everything here happens in the thread of
the event loop, so an observation is a bisection and two additions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily

__all__ = ["Histogram", "Tally"]


class Tally:
    """Counts values by size, up to each of ``bounds``, ascending, and beyond the last."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram:
    """A metric of tallies, one for each set of labels; ``registry`` asks for them when they are wanted.

    Args:
        name: of the metric.
        words: what it says.
        bounds: the upper ends of the buckets, ascending; one without end is added.
        registry: where it is listed.
        labels: the names of what its tallies differ in.
    """

    def __init__(
        self, name: str, words: str, bounds: Sequence[float], registry: CollectorRegistry, *labels: str
    ) -> None:
        self._name, self._words = name, words
        self._labelnames = labels  # as prometheus-client's metrics have them
        self._bounds = tuple(bounds)
        self._tallies: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """Return the tally of these values of the labels, empty at first."""
        return self._tallies.setdefault(values, Tally(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the metric as it stands; called by the registry."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._words, labels=self._labelnames)
        for values, tally in self._tallies.items():
            buckets = list(zip(names, accumulate(tally.counts), strict=True))
            family.add_metric(values, buckets, tally.sum)
        yield family

    describe = collect
