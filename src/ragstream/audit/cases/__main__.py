"""``python -m ragstream.audit.cases``: fit the curves anew; print what they promise beside what is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragstream.audit.calibration import BUILT, RIGHT, SURE, THERE, Curve, Observation, Rank, fit, observations


def curve_report(name: str, curve: Curve, truths: Sequence[tuple[Rank, bool]]) -> Iterator[str]:
    fitted = ", ".join(f"{part:.2f}" for part in fit(truths))
    yield f"{name}, {len(truths)} observations: fitted Curve({fitted})"
    for low in range(0, 100, 20):
        inside = [(curve.at(rank), true) for rank, true in truths if low <= 100 * curve.at(rank) < low + 20]
        if inside:
            promised, true = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            yield f"  {low}-{low + 20} %: {len(inside)} seen, {promised:.2f} promised, {true:.2f} true"


def status_report(seen: Sequence[Observation]) -> Iterator[str]:
    found = [each for each in seen if BUILT.at(each.rank) >= THERE]
    sure = [each for each in found if RIGHT.at(each.rank) >= SURE]
    built = [each for each in seen if each.built]
    absent = [each for each in seen if not each.built]
    missed = [each for each in seen if each not in found]
    yield share("steps that are built, their first candidate is right", [each.right for each in built])
    yield share("steps called implemented, their first candidate is right", [each.right for each in sure])
    yield share("steps that are built, they are called missing", [each in missed for each in built])
    yield share("steps that nothing does, they are called missing", [each in missed for each in absent])


def share(of: str, truths: Sequence[bool]) -> str:
    return f"of {len(truths)} {of}: {sum(truths) / len(truths):.0%}"


if __name__ == "__main__":
    seen = list(observations())
    for line in (
        *curve_report("right", RIGHT, [(each.rank, each.right) for each in seen]),
        *curve_report("built", BUILT, [(each.rank, each.built) for each in seen]),
        *status_report(seen),
    ):
        print(line)  # noqa: T201 - it is what is asked for
