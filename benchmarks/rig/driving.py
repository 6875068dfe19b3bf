"""One measurement: a server, a script, so many streams, and what was used between two marks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rig.processes import cpu_seconds
from rig.servers import Running

__all__ = ["Cores", "Load", "Upstream", "Window", "cores", "measure", "parts"]

_HERE = Path(__file__).parent
_SETTLE = 0.5  # seconds after every stream has its first token
_DRAIN = 2.0  # seconds for what is under way to end; a server beyond its limits would take minutes
_REST = 10.0  # seconds for a server to get over what was cut


@dataclass(frozen=True)
class Cores:
    """Where what runs; None: wherever the kernel likes."""

    server: int | None
    others: int | None


def cores(*, pinned: bool = True) -> Cores:
    """Give the server one core, and the load and the upstream another one."""
    free = sorted(os.sched_getaffinity(0))
    if not pinned:
        return Cores(None, None)
    if len(free) < 2:
        raise SystemExit("The benchmarks need two cores: one for the server, one for what drives it.")
    return Cores(free[0], free[1])


class Upstream:
    """The scripted model."""

    def __init__(self, core: int | None) -> None:
        where = [] if core is None else ["--core", str(core)]
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "upstream.py"), *where], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def script(self, *, tokens: int, rate: float, first: list[int] | None = None) -> None:
        """Say what answers are like from now on."""
        self._put("script", {"tokens": tokens, "rate": rate, "first": first or []})

    def finish(self) -> None:
        """End all answers under way."""
        self._put("finish", {})

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _put(self, path: str, body: Mapping[str, object]) -> None:
        request = Request(f"http://127.0.0.1:{self.port}/{path}", json.dumps(body).encode(), method="PUT")
        urlopen(request, timeout=30).close()  # noqa: S310


class Load:
    """The load client."""

    def __init__(self, core: int | None) -> None:
        where = [] if core is None else [str(core)]
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "load.py"), *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def tell(self, order: Mapping[str, object]) -> dict[str, Any]:
        """Give an order and return the answer.

        Raises:
            SystemExit: it was not carried out in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise SystemExit(f"The load client: {told}")
        return told

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Window:
    """What was counted and used between two marks."""

    seconds: float
    cpu: float  # seconds of the server's processes
    tokens: int
    followed: int  # tokens that further readers read
    turns: float
    waits: list[float]  # seconds to the first token of each answer that began
    gaps: list[float]  # seconds between two reads with tokens of one stream

    @property
    def busy(self) -> float:
        return self.cpu / self.seconds


@contextmanager
def parts(*, pinned: bool = True) -> Iterator[tuple[Upstream, Load, Cores]]:
    """Start an upstream and a load client, and end them."""
    where = cores(pinned=pinned)
    upstream, load = Upstream(where.others), Load(where.others)
    try:
        yield upstream, load, where
    finally:
        load.stop()
        upstream.stop()


def measure(
    running: Running,
    upstream: Upstream,
    load: Load,
    *,
    streams: int = 100,
    tokens: int = 200,
    rate: float = 50,
    seconds: float = 5,
    followers: int = 0,
    patience: float = 8,
) -> Window:
    """Load a server until it runs evenly, measure it, let its answers end, and check what they said.

    The first answers have lengths of all kinds, as the rest of an answer has that one meets half-way: so
    beginnings and ends are spread evenly from the start.
    """
    chance = random.Random(streams * tokens)  # noqa: S311 - the same for each server
    upstream.script(tokens=tokens, rate=rate, first=[chance.randint(2, tokens) for _ in range(streams)])
    load.tell({**running.server.order(running.port, streams), "followers": followers, "patience": patience})
    time.sleep(_SETTLE)
    before, cpu = load.tell({"do": "mark"}), _cpu(running)
    time.sleep(seconds)
    after, cpu_after = load.tell({"do": "mark"}), _cpu(running)
    load.tell({"do": "finish"})
    upstream.script(tokens=2, rate=rate)  # for who has just asked
    upstream.finish()
    checked = load.tell({"do": "await", "patience": _DRAIN, "cut": True})
    if checked["faults"]:
        raise SystemExit(f"{running.server.name}: {checked['count']} faults: {checked['faults']}")
    window = Window(
        seconds=after["time"] - before["time"],
        cpu=cpu_after - cpu,
        tokens=after["tokens"] - before["tokens"],
        followed=after["followed"] - before["followed"],
        turns=after["turns"] - before["turns"],
        waits=after["waits"],
        gaps=after["gaps"],
    )
    if checked["cut"]:
        _await_rest(running)
        print(f"{running.server.name}: {checked['cut']} answers were cut, for they did not end", flush=True)
    return window


def _await_rest(running: Running) -> None:
    """Wait until the server has got over what was cut; the next window shall not pay for it."""
    until = time.monotonic() + _REST
    while time.monotonic() < until:
        before = _cpu(running)
        time.sleep(_SETTLE)
        if _cpu(running) - before < _SETTLE / 10:
            return


def _cpu(running: Running) -> float:
    return cpu_seconds(running.pid) if running.process is not None else 0.0
