"""How cost grows: with streams, with readers of one stream, with the length of the log; and memory.

    python benchmarks/streams.py [--log memory] [--only memory,readers,first,store,resume,unpinned]

Ragstream stands beside the bare relay where both can do it. Memory is the slope between 100 and 1,000
streams, so that what the process has anyway is left out; the bytes of the log's events are told apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from rig.driving import Load, Upstream, measure, parts
from rig.processes import cpu_seconds, memory_bytes
from rig.report import quantile, save, table
from rig.script import TOKENS
from rig.servers import PEERS, RAGSTREAM, Running, Server

_FEW, _MANY = 100, 1000
_FURTHER = 4  # readers of each stream
_EVENT = statistics.mean(len(f'{{"type":"text_delta","text_delta":{{"content":"{t}"}}}}') for t in TOKENS)


@contextmanager
def _running(server: Server, *, pinned: bool = True) -> Iterator[tuple[Running, Upstream, Load]]:
    with parts(pinned=pinned) as (upstream, load, where), tempfile.TemporaryDirectory() as folder:
        one = Running(server, upstream.port, Path(folder) / "own", core=where.server)
        try:
            yield one, upstream, load
        finally:
            one.stop()


def memory(log: str) -> list[list[str]]:
    """Return the bytes of one more stream, live and idle, and of one more reader of an idle stream."""
    rows = []
    for server in (RAGSTREAM[log], PEERS["relay"]):
        for name, rate in (("live, 5 tokens/s", 5.0), ("idle", 0.0)):
            held = {streams: _held(server, streams, rate) for streams in (_FEW, _MANY)}
            slope = [(held[_MANY][n] - held[_FEW][n]) / (_MANY - _FEW) / 1024 for n in (0, 1)]
            in_log = slope[1] if server is RAGSTREAM[log] else 0.0
            rows.append([server.name, name, f"{slope[0] - in_log:.1f}", f"{in_log:.1f}"])
            print(*rows[-1], flush=True)
    ours = RAGSTREAM[log]
    more = _held(ours, _FEW, 0.0, followers=_FURTHER)[0] - _held(ours, _FEW, 0.0)[0]
    rows.append([ours.name, "a further reader, idle", f"{more / (_FEW * _FURTHER) / 1024:.1f}", "0.0"])
    print(*rows[-1], flush=True)
    return [["", "streams", "KB each, log bytes apart", "KB of events in the log"], *rows]


def _held(server: Server, streams: int, rate: float, *, followers: int = 0) -> tuple[float, float]:
    """Return the memory with so many streams open, and how much of it are the events of their logs."""
    with _running(server) as (one, upstream, load):
        upstream.script(tokens=1_000_000, rate=rate)
        order = server.order(one.port, streams, keep=False)
        load.tell({**order, "patience": 60, "followers": followers})
        time.sleep(3)
        told = load.tell({"do": "mark"})
        held = memory_bytes(one.pid)
        load.tell({"do": "finish"})
        upstream.finish()
        load.tell({"do": "await", "patience": 60})
        return held, told["tokens"] * _EVENT


def readers(log: str) -> list[list[str]]:
    """Return what a token costs for each further reader of the same stream."""
    with _running(RAGSTREAM[log]) as (one, upstream, load):
        rows, spent = [], {}
        for followers in (0, 1, 4):
            windows = [
                measure(one, upstream, load, streams=50, tokens=1000, seconds=4, followers=followers)
                for _ in range(3)
            ]
            spent[followers] = statistics.median(window.cpu / window.tokens for window in windows) * 1e6
            first = spent[0]
            each = (spent[followers] - first) / followers if followers else first
            rows.append([str(followers + 1), f"{spent[followers]:.1f}", f"{each:.1f}", f"{each / first:.2f}"])
            print(*rows[-1], flush=True)
    head = [
        "readers of each stream",
        "CPU µs a token said",
        "of which each further reader",
        "first reader = 1",
    ]
    return [head, *rows]


def first(log: str) -> list[list[str]]:
    """Return the time to the first token, and the gap between tokens, under loads of several sizes."""
    rows = []
    for server in (RAGSTREAM[log], PEERS["relay"]):
        with _running(server) as (one, upstream, load):
            for streams, rate, tokens in ((1, 50, 20), (10, 50, 50), (100, 50, 200), (1000, 5, 200)):
                window = measure(
                    one, upstream, load, streams=streams, rate=rate, tokens=tokens, seconds=8, patience=30
                )
                waits, gaps = window.waits, window.gaps
                figures = [quantile(waits, 0.5), quantile(waits, 0.99), quantile(gaps, 0.99)]
                rows.append(
                    [server.name, f"{streams} of {rate} tokens/s", str(len(waits))]
                    + [f"{value * 1e3:.1f}" for value in figures]
                    + [f"{window.cpu / window.tokens * 1e6:.0f}", f"{window.busy:.0%}"]
                )
                print(*rows[-1], flush=True)
    head = ["", "streams", "answers", "first token p50 ms", "p99 ms", "gap p99 ms", "CPU µs a token, all in"]
    return [[*head, "core busy"], *rows]


def store(_: str) -> list[list[str]]:
    """Return what a token costs in Redis itself, whose one thread has an end."""
    rows = []
    with _running(RAGSTREAM["redis"]) as (one, upstream, load):
        assert one.redis is not None
        upstream.script(tokens=1_000_000, rate=50)
        load.tell(one.server.order(one.port, _FEW, keep=False))
        for _ in range(3):
            before, spent = load.tell({"do": "mark"}), cpu_seconds(one.redis.pid)
            time.sleep(4)
            after, spent = load.tell({"do": "mark"}), cpu_seconds(one.redis.pid) - spent
            rows.append([f"{spent / (after['tokens'] - before['tokens']) * 1e6:.1f}"])
            print(*rows[-1], flush=True)
        load.tell({"do": "finish"})
        upstream.finish()
        load.tell({"do": "await", "patience": 60})
    return [["CPU µs a token, 100 streams of 50 tokens/s"], *rows]


def resume(log: str) -> list[list[str]]:
    """Return what it takes to read a log of 10,000 events again, whole and from its last event but ten."""
    rows = []
    with _running(RAGSTREAM[log]) as (one, upstream, _):
        for length in (1000, 10_000):
            upstream.script(tokens=length, rate=20_000)
            asked = RAGSTREAM[log].request("How long is a log?").partition("\r\n\r\n")[2].encode()
            question = Request(
                f"http://127.0.0.1:{one.port}{RAGSTREAM[log].route}",
                asked,
                {"content-type": "application/json"},
            )
            with urlopen(question, timeout=120) as answer:  # noqa: S310
                name = answer.headers["x-stream-id"]
                assert b"message_complete" in answer.read()
            for what, after in (("whole", 0), ("the last ten", length - 10)):
                url = f"http://127.0.0.1:{one.port}/api/v1/streams/{name}?after={after}"
                times, before = [], cpu_seconds(one.pid)
                for _ in range(20):
                    began = time.perf_counter()
                    with urlopen(url, timeout=60) as answer:
                        assert b"message_complete" in answer.read()
                    times.append(time.perf_counter() - began)
                cpu = (cpu_seconds(one.pid) - before) / 20
                median = statistics.median(times)
                rows.append([f"{length}", what, f"{median * 1e3:.1f}", f"{cpu * 1e3:.1f}"])
                print(*rows[-1], flush=True)
    return [["events in the log", "read again", "ms", "CPU ms"], *rows]


def unpinned(log: str) -> list[list[str]]:
    """Return what happens beyond one core, with nothing pinned: there a writer thread may starve."""
    with _running(RAGSTREAM[log], pinned=False) as (one, upstream, load):
        rows = []
        for streams in (100, 400):
            window = measure(one, upstream, load, streams=streams, rate=50, tokens=1000, seconds=8)
            gaps = [quantile(window.gaps, share) for share in (0.5, 0.99, 1.0)]
            rows.append(
                [str(streams), f"{window.tokens / window.seconds:.0f}", f"{window.busy:.0%}"]
                + [f"{gap * 1e3:.0f}" for gap in gaps]
            )
            print(*rows[-1], flush=True)
    return [["streams", "tokens/s", "cores busy", "gap p50 ms", "p99 ms", "largest ms"], *rows]


PARTS: dict[str, tuple[str, Callable[[str], list[list[str]]]]] = {
    "memory": ("Memory of one more stream", memory),
    "readers": ("Further readers of a stream", readers),
    "first": ("Time to the first token", first),
    "store": ("Redis itself", store),
    "resume": ("Reading a log again", resume),
    "unpinned": ("Nothing pinned, under saturation", unpinned),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", default="memory", choices=("memory", "sqlite", "redis"))
    parser.add_argument("--only", help="parts, with commas")
    options = parser.parse_args()
    usual = [name for name in PARTS if name != "store" or options.log == "redis"]
    page, data = "", {}
    for name in options.only.split(",") if options.only else usual:
        title, run = PARTS[name]
        head, *rows = data[name] = run(options.log)
        page += f"## {title}\n\n{table(head, rows)}\n"
    save(f"streams-{options.log}", f"How cost grows, with the {options.log} log", page, data)


if __name__ == "__main__":
    main()
