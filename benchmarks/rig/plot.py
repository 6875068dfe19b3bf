"""Draw what ``compare.py`` measured, as PNG and SVG beside its JSON; runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_OURS, _OTHERS = "#2a6f97", "#b8bfc6"
_PANELS = (
    ("us_per_token", "CPU µs a token"),
    ("ms_per_turn", "CPU ms a turn"),
    ("first_p50_ms", "first token, p50, ms"),
)


def main(path: Path) -> None:
    servers = json.loads(path.read_text("utf-8"))["data"]["servers"]
    names = list(servers)
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(13, 0.5 * len(names) + 1.2), sharey=True)
    for axis, (key, title) in zip(axes, _PANELS, strict=True):
        rounds = [[max(value, 0.01) for value in servers[name][key]] for name in names]
        middle = [sorted(values)[len(values) // 2] for values in rounds]
        reach = [
            [value - min(values) for value, values in zip(middle, rounds, strict=True)],
            [max(values) - value for value, values in zip(middle, rounds, strict=True)],
        ]
        colours = [_OURS if name.startswith("Ragstream") else _OTHERS for name in names]
        axis.barh(names, middle, xerr=reach, color=colours, ecolor="#555555", capsize=2)
        axis.set_xscale("log")
        axis.set_title(title, fontsize=10)
        for place, value in enumerate(middle):
            axis.annotate(f" {value:.3g}", (value, place), va="center", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.2)
    axes[0].invert_yaxis()
    figure.tight_layout()
    mpl.rcParams["svg.hashsalt"] = "ragstream"  # the same picture gives the same file
    figure.savefig(path.with_suffix(".png"), dpi=120, metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
