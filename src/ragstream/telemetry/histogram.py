"""A histogram for what happens at every token.

The one of prometheus-client takes a lock for each of three figures; everything here happens in the thread of
the event loop, so an observation is a bisection and two additions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily

__all__ = ["Histogram"]


class Histogram:
    """Counts observations by size; ``registry`` asks for them when they are wanted.

    Args:
        name: of the metric.
        words: what it says.
        bounds: the upper ends of the buckets, ascending; one without end is added.
        registry: where it is listed.
    """

    _labelnames: ClassVar[tuple[str, ...]] = ()  # as prometheus-client's metrics have them

    __slots__ = ("_bounds", "_counts", "_name", "_sum", "_words")

    def __init__(self, name: str, words: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._words = name, words
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the metric as it stands; called by the registry."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._words, buckets=buckets, sum_value=self._sum)

    describe = collect
