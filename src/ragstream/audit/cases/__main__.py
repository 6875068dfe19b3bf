"""``python -m ragstream.audit.cases``: fit the curves anew; print what they promise beside what is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragstream.audit.calibration import BUILT, RIGHT, Curve, Rank, fit, observations


def report(name: str, curve: Curve, truths: Sequence[tuple[Rank, bool]]) -> Iterator[str]:
    fitted = ", ".join(f"{part:.2f}" for part in fit(truths, curve))
    yield f"{name}, {len(truths)} observations: fitted Curve({fitted})"
    for low in range(0, 100, 20):
        inside = [(curve.at(rank), true) for rank, true in truths if low <= 100 * curve.at(rank) < low + 20]
        if inside:
            promised, true = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            yield f"  {low}-{low + 20} %: {len(inside)} seen, {promised:.2f} promised, {true:.2f} true"


if __name__ == "__main__":
    seen = list(observations())
    for line in (
        *report("right", RIGHT, [(each.rank, each.right) for each in seen]),
        *report("built", BUILT, [(each.rank, each.built) for each in seen]),
    ):
        print(line)  # noqa: T201 - it is what is asked for
