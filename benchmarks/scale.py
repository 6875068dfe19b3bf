"""What so many readers need: workers, memory, Redis, network; and where it breaks first.

    python benchmarks/scale.py [--readers 1000000] [--answers 100000] [--rate 50] [--tokens 400]

The inputs are costs as the other benchmarks measured them, each an option with its default, so that you can
put in what you measured on your own machine. ``--readers`` are open responses at one time, ``--answers`` the
streams they read. Nothing here is measured; it multiplies and divides.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

_OPTIONS = {  # name: (default, what it is, where it is measured)
    "readers": (1_000_000, "open responses at one time", "your own guess"),
    "answers": (100_000, "answers being written at one time", "your own guess"),
    "rate": (50.0, "tokens a second of one answer", "your provider"),
    "tokens": (400.0, "tokens of one answer", "your provider"),
    "spread": (1.5, "workers that read an answer, its own among them", "your balancer"),
    "token-us": (90.0, "CPU µs of a token with its first reader, Redis log", "compare.py"),
    "reader-us": (13.0, "CPU µs of a token for each further reader", "streams.py"),
    "turn-ms": (6.4, "CPU ms of a turn beside its tokens, with retrieval", "compare.py"),
    "stream-kb": (60.0, "KB of an answer with its first reader", "streams.py"),
    "reader-kb": (25.0, "KB of each further reader, its socket's buffers apart", "streams.py"),
    "event-bytes": (90.0, "bytes of a token's event in the log", "streams.py"),
    "wire-bytes": (150.0, "bytes of a token on the wire, its packet apart", "compare.py"),
    "redis-us": (27.0, "CPU µs of a token in Redis itself", "streams.py --log redis"),
    "window-ms": (5.0, "milliseconds for which events are gathered", "RAGSTREAM_COMMIT_WINDOW_MS"),
    "retention-hours": (24.0, "hours for which a log is kept", "RAGSTREAM_RETENTION_HOURS"),
    "busy": (0.6, "share of a core that is planned with", "your own guess"),
    "worker-gb": (4.0, "GB of memory of one worker", "your own guess"),
    "redis-gb": (64.0, "GB of memory of one Redis", "your own guess"),
    "descriptors": (20_000.0, "readers of one worker", "RAGSTREAM_MAX_READERS"),
    "answers-each": (1000.0, "answers of one worker", "RAGSTREAM_MAX_ANSWERS"),
}


@dataclass(frozen=True)
class Need:
    """How many of something one limit asks for."""

    what: str
    limit: str
    count: float


def needs(given: dict[str, float]) -> list[Need]:
    """Return what each limit asks for, workers and Redis apart."""
    tokens = given["answers"] * given["rate"]  # a second
    turns = tokens / given["tokens"]
    further = max(0.0, given["readers"] - given["answers"])
    busy = tokens * given["token-us"] / 1e6 + turns * given["turn-ms"] / 1e3
    busy += further * given["rate"] * given["reader-us"] / 1e6
    memory = given["answers"] * given["stream-kb"] + further * given["reader-kb"]
    memory += given["answers"] * given["tokens"] * given["event-bytes"] / 1024  # the newest stay in memory
    kept = turns * given["retention-hours"] * 3600 * given["tokens"] * given["event-bytes"]
    return [
        Need("workers", "CPU", busy / given["busy"]),
        Need("workers", "memory", memory / 1024**2 / given["worker-gb"]),
        Need("workers", "readers of one worker", given["readers"] / given["descriptors"]),
        Need("workers", "answers of one worker", given["answers"] / given["answers-each"]),
        Need("Redis", "its one thread", tokens * given["redis-us"] / 1e6 / given["busy"]),
        Need("Redis", "memory", kept * 1.3 / 1024**3 / given["redis-gb"]),
    ]


def network(given: dict[str, float]) -> tuple[float, float]:
    """Return gigabits a second to the readers, and between workers and Redis."""
    tokens = given["answers"] * given["rate"]
    out = (
        given["readers"] * given["rate"] * (given["wire-bytes"] + 66)
    )  # Ethernet, IP and TCP of a packet each
    inside = tokens * given["event-bytes"] * (1 + max(0.0, given["spread"] - 1))
    return out * 8 / 1e9, inside * 8 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (default, what, source) in _OPTIONS.items():
        told = f"{what} ({source}): {default:g}"
        parser.add_argument(f"--{name}", type=float, default=default, help=told)
    given = {name.replace("_", "-"): value for name, value in vars(parser.parse_args()).items()}
    found = needs(given)
    print(
        f"{given['readers']:,.0f} readers of {given['answers']:,.0f} answers, {given['rate']:g} tokens/s each"
    )
    print()
    for what in ("workers", "Redis"):
        first = max((one for one in found if one.what == what), key=lambda one: one.count)
        print(f"{what}: {math.ceil(first.count):,}, because of {first.limit}")
        for need in found:
            if need.what == what:
                print(f"  {need.limit:24} {need.count:10,.1f}")
    out, inside = network(given)
    print(f"network: {out:,.0f} Gbit/s to the readers, {inside:,.1f} Gbit/s between workers and Redis")


if __name__ == "__main__":
    main()
