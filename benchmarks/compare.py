"""Ragstream beside what one would use instead, in one run: CPU a token, CPU a turn, time to the first token.

    python benchmarks/compare.py [--rounds 5] [--streams 100] [--rate 50] [--seconds 2.5] [--only relay]

Each server runs on a core of its own; the scripted model and the readers share another one. In each round
every server is measured once with answers of 200 tokens and once with answers of 1,000, under the same
hundred streams, while all others stand still. The CPU time of its processes is then split in two: what a
token costs, which is the slope between the two, and what a turn costs beside its tokens. A ratio is one of
the same round; the median of the rounds counts. Every answer is checked, word for word.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rig.documents import fill
from rig.driving import Load, Upstream, Window, measure, parts
from rig.report import quantile, save, spread, table
from rig.servers import DIRECT, PEERS, RAGSTREAM, Running, Server

SHORT, LONG = 200, 1000  # tokens of an answer
_STREAMS = 100  # with another number the results are another page
_PATIENCE = 3.0  # seconds until each stream has a token; a server beyond its limits keeps the rest waiting
_WARM = 10  # streams, before the rounds: what a server does once shall not be in the first


@dataclass
class Figures:
    """What one server came to, round by round."""

    us_per_token: list[float] = field(default_factory=list)
    ms_per_turn: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    first_p50_ms: list[float] = field(default_factory=list)
    first_p99_ms: list[float] = field(default_factory=list)
    gap_p99_ms: list[float] = field(default_factory=list)

    def add(self, short: Window, long: Window) -> None:
        token, turn = split(short, long)
        self.us_per_token.append(token * 1e6)
        self.ms_per_turn.append(turn * 1e3)
        self.busy.append(long.busy)
        self.tokens_per_second.append(long.tokens / long.seconds)
        self.first_p50_ms.append(quantile(short.waits, 0.5) * 1e3)
        self.first_p99_ms.append(quantile(short.waits, 0.99) * 1e3)
        self.gap_p99_ms.append(quantile(long.gaps, 0.99) * 1e3)


def split(short: Window, long: Window) -> tuple[float, float]:
    """Return the CPU seconds of a token and of a turn that explain both windows.

    Where a server beyond its limits began and ended no turn in either, all is the tokens'.
    """
    if not (short.turns or long.turns):
        return (short.cpu + long.cpu) / (short.tokens + long.tokens), 0.0
    both = long.tokens * short.turns - short.tokens * long.turns
    token = (long.cpu * short.turns - short.cpu * long.turns) / both
    return token, (long.tokens * short.cpu - short.tokens * long.cpu) / both


def main() -> None:
    options = _options()
    servers = _chosen(options.only)
    figures = {server.name: Figures() for server in servers}
    with ExitStack() as stack:
        upstream, load, where = stack.enter_context(parts())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = []
        for number, server in enumerate(servers):
            own = folder / str(number)
            if server.chunks:
                own.mkdir()
                print(f"{fill(own / 'data', server.chunks)} chunks for {server.name}", flush=True)
            one = Running(server, upstream.port, own, core=where.server)
            stack.callback(one.stop)
            measure(one, upstream, load, streams=_WARM, seconds=1, rate=options.rate)
            one.pause()
            running.append(one)
        for number in range(options.rounds):
            for one in running[number % len(running) :] + running[: number % len(running)]:
                _round(one, upstream, load, options, figures[one.server.name])
    save(
        "compare" if options.streams == _STREAMS else f"compare-{options.streams}",
        _title(options),
        _page(figures),
        {"servers": {n: vars(f) for n, f in figures.items()}},
        plot=True,
    )


def _round(one: Running, upstream: Upstream, load: Load, options: argparse.Namespace, into: Figures) -> None:
    one.go_on()
    how = {
        "streams": options.streams,
        "rate": options.rate,
        "seconds": options.seconds,
        "patience": _PATIENCE,
    }
    short = measure(one, upstream, load, tokens=SHORT, **how)
    long = measure(one, upstream, load, tokens=LONG, **how)
    one.pause()
    into.add(short, long)
    print(
        f"{one.server.name}: {into.us_per_token[-1]:.1f} µs/token, {into.ms_per_turn[-1]:.2f} ms/turn",
        flush=True,
    )


def _title(options: argparse.Namespace) -> str:
    return f"{options.streams} streams of {options.rate:g} tokens a second, {options.rounds} rounds"


def _page(figures: dict[str, Figures]) -> str:
    bare, hand = figures.get(PEERS["relay"].name), figures.get(PEERS["hand"].name)
    head = ["", "CPU a token, relay = 1", "CPU a token, by hand = 1", "first token p50, by hand = 1"]
    head += ["CPU µs a token", "CPU ms a turn", "first token p50 / p99 ms", "gap p99 ms", "core busy"]
    rows = []
    for name, one in figures.items():
        direct = name == DIRECT.name
        rows.append(
            [
                name,
                _ratio(one.us_per_token, bare and bare.us_per_token, 2) if not direct else "-",
                _ratio(one.us_per_token, hand and hand.us_per_token, 3) if not direct else "-",
                _ratio(one.first_p50_ms, hand and hand.first_p50_ms, 3),
                spread(one.us_per_token) if not direct else "-",
                spread(one.ms_per_turn, 2) if not direct else "-",
                f"{statistics.median(one.first_p50_ms):.1f} / {statistics.median(one.first_p99_ms):.1f}",
                f"{statistics.median(one.gap_p99_ms):.1f}",
                f"{statistics.median(one.busy):.0%}" if not direct else "-",
            ]
        )
    return table(head, rows) + "\nMedian, and the least and the largest of the rounds in brackets.\n"


def _ratio(ours: list[float], theirs: list[float] | None, digits: int) -> str:
    if not theirs:
        return "-"
    return spread([mine / its for mine, its in zip(ours, theirs, strict=True)], digits)


def _chosen(only: str) -> list[Server]:
    known = {**RAGSTREAM, **PEERS, "direct": DIRECT}
    names = only.split(",") if only else list(known)
    servers = []
    for name in names:
        if known[name].needs is not None and not known[name].needs.exists():
            print(f"left out: {known[name].name}, which is not installed: make peers interop")
        else:
            servers.append(known[name])
    return servers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=_STREAMS)
    parser.add_argument("--rate", type=float, default=50, help="tokens a second of each stream")
    parser.add_argument("--seconds", type=float, default=2.5, help="of one measurement")
    parser.add_argument("--only", default="", help="servers by their short names, with commas")
    return parser.parse_args()


if __name__ == "__main__":
    main()
