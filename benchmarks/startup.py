"""How long `ragstream --help` and `import ragstream` take, beside the bare interpreter.

    python benchmarks/startup.py [--rounds 15]

A ratio is one of the same round; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rig.report import save, spread, table

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import ragstream": [sys.executable, "-c", "import ragstream"],
    "ragstream --help": [str(Path(sys.executable).with_name("ragstream")), "--help"],
    "import openai": [sys.executable, "-c", "import openai"],
}
MOST = {"import ragstream": 5.0, "ragstream --help": 15.0}  # times the bare interpreter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round warms the caches
                times[name].append((time.perf_counter() - began) * 1e3)
    bare = times["python -c pass"]
    rows, late = [], 0
    for name, values in times.items():
        ratios = [value / base for value, base in zip(values, bare, strict=True)]
        late += statistics.median(ratios) > MOST.get(name, float("inf"))
        rows.append([f"`{name}`", spread(ratios), f"{MOST[name]:g}" if name in MOST else "-", spread(values)])
    save("startup", "Start-up", table(["", "times the bare interpreter", "at most", "ms"], rows), times)
    return late


if __name__ == "__main__":
    sys.exit(main())
