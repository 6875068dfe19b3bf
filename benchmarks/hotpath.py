"""What one token costs in Python itself: byte codes, calls, and calls into C, counted, not timed.

    python benchmarks/hotpath.py [--log memory] [--functions 40] [--check] [--renew]

The whole server, a scripted model and a reader share one process and take turns: the next token is said when
the reader has the last one. So every run counts the same, whatever else the machine does. What the model and
the reader of this program do is not counted. ``--check`` compares with the committed baseline of this minor
version of Python and fails where a token costs more, or so much less that the baseline is to be renewed;
``--renew`` does that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import uvicorn
import uvloop

from ragstream.bootstrap import wiring
from ragstream.bootstrap.connection import Connection
from ragstream.settings import load

BASELINE = Path(__file__).with_name("hotpath.json")
WARM, COUNTED = 40, 200  # tokens
TOLERANCE = 0.02  # of the baseline

_CHUNK = (
    b'data: {"id":"chatcmpl-CfPbLyQ2vW8nRk3TzXo4Hs6Ue1Ga7","object":"chat.completion.chunk",'
    b'"created":1795242213,"model":"m","system_fingerprint":"fp_51db84afab","choices":[{"index":0,'
    b'"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
_END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_MARKER = b'"text_delta":{"content":'
_ASKED = b'{"messages":[{"role":"user","content":"What is counted here?"}]}'
_REQUEST = (
    b"POST /api/v1/chatbot/chat/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (len(_ASKED), _ASKED)
)


class Counts:
    """Counts byte codes and calls while it is switched on; this file's own code is left out."""

    def __init__(self) -> None:
        self.codes: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()
        self.c_calls: Counter[CodeType] = Counter()

    def on(self) -> None:
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def off(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if frame.f_code.co_filename != __file__:
            if event == "call":
                self.calls[frame.f_code] += 1
            elif event == "c_call":
                self.c_calls[frame.f_code] += 1

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        if event == "call":
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            self.codes[frame.f_code] += 1
        return self._trace

    def per_token(self) -> dict[str, float]:
        """Return what every token pays; what runs now and then, by a clock, is left out."""
        counted = (("byte codes", self.codes), ("calls", self.calls), ("calls into C", self.c_calls))
        often = {code for code, calls in self.calls.items() if calls >= COUNTED / 2}
        return {
            name: sum(count for code, count in counts.items() if code in often) / COUNTED
            for name, counts in counted
        }

    def table(self, most: int) -> str:
        lines = [f"{'byte codes':>10} {'calls':>6} {'into C':>6}"]
        for code, count in self.codes.most_common(most):
            where = f"{_short(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"
            of_token = (count / COUNTED, self.calls[code] / COUNTED, self.c_calls[code] / COUNTED)
            lines.append("{:10.1f} {:6.2f} {:6.2f}  ".format(*of_token) + where)
        return "\n".join(lines)


class Model(asyncio.Protocol):
    """Says a token when it is told to."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST") or b'"messages"' in data:
            if not self.asked.is_set():
                self.transport.write(_HEAD)
            self.asked.set()

    def say(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))


class Reader(asyncio.Protocol):
    """Tells when a token has come."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[None] | None = None
        self.tokens = 0
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.tokens += data.count(_MARKER)
        self.body = data
        if self.heard is not None and not self.heard.done() and (_MARKER in data or b"event: done" in data):
            self.heard.set_result(None)

    def next(self) -> asyncio.Future[None]:
        self.heard = asyncio.get_running_loop().create_future()
        return self.heard


async def _count(log: str, folder: Path) -> Counts:
    loop = asyncio.get_running_loop()
    model = Model()
    upstream = await loop.create_server(lambda: model, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/v1"
    service = wiring.server(
        load({"data_dir": folder, "stream_log": log, "openai_base_url": url, "model": "m"}), []
    )
    await service.start()
    config = uvicorn.Config(
        service.app, port=0, http=Connection, log_config=None, access_log=False, lifespan="on"
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        return await _one_answer(server.servers[0].sockets[0].getsockname()[1], model)
    finally:
        await server.shutdown()
        upstream.close()


async def _one_answer(port: int, model: Model) -> Counts:
    reader = Reader()
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
    transport.write(_REQUEST)
    await asyncio.wait_for(model.asked.wait(), 30)
    stuck = asyncio.get_running_loop().call_later(60, sys.exit, "the next token did not come")
    counts = Counts()
    for number in range(WARM + COUNTED):
        if number == WARM:
            counts.on()
        heard = reader.next()
        model.say(_CHUNK)
        await heard
    counts.off()
    heard = reader.next()
    model.say(_END)
    await heard
    stuck.cancel()
    transport.close()
    assert reader.tokens == WARM + COUNTED
    return counts


def _short(path: str) -> str:
    return path.rpartition("site-packages/")[2] if "site-packages" in path else "/".join(path.split("/")[-3:])


def _version() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _check(log: str, found: dict[str, float]) -> int:
    baseline = json.loads(BASELINE.read_text()).get(_version(), {}).get(log)
    if baseline is None:
        print(f"No baseline for Python {_version()} and the {log} log; --renew makes one.")
        return 0
    off = {name: found[name] / baseline[name] - 1 for name in baseline}
    for name, share in off.items():
        if abs(share) > TOLERANCE:
            print(
                f"{name} a token: {found[name]:.1f}, the baseline has {baseline[name]:.1f} ({share:+.1%}).\n"
                "If that is meant: python benchmarks/hotpath.py --renew, and say why in the commit."
            )
    return int(max(map(abs, off.values())) > TOLERANCE)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", default="memory", choices=("memory", "sqlite"))
    parser.add_argument("--functions", type=int, default=40, help="how many are listed")
    parser.add_argument("--check", action="store_true", help="compare with the baseline")
    parser.add_argument("--renew", action="store_true", help="write the baseline anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = uvloop.run(_count(options.log, Path(folder)))
    found = counts.per_token()
    print(f"{options.log} log, a token: " + ", ".join(f"{value:.1f} {name}" for name, value in found.items()))
    if options.check:
        return _check(options.log, found)
    if options.renew:
        known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
        known.setdefault(_version(), {})[options.log] = {
            name: round(value, 1) for name, value in found.items()
        }
        BASELINE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        return 0
    print(counts.table(options.functions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
