"""The servers that are compared: how each is started, asked and read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

__all__ = ["DIRECT", "PEERS", "RAGSTREAM", "Running", "Server", "free_port"]

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parents[1]
QUESTIONS = (
    "How do I stop an answer that is being written?",
    "What happens to a reader when the process that writes its answer dies?",
    "Where are the events of an answer kept, and for how long?",
    "How does a client come back to an answer after its connection was cut?",
    "Which settings bound the memory that one stream may take?",
)
_OPENAI = ("choices", 0, "delta", "content")
_START_SECONDS = 90.0
_RETRY = 0.05  # seconds
_PATIENCE = 8.0  # seconds that a server may take until each of its streams has a token

Command = Callable[[int, int, Path], list[str]]  # own port, the upstream's, a folder of its own


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server as the comparison knows it; ``marker`` stands before each token on its wire."""

    name: str
    command: Command | None = None  # None: the upstream itself
    route: str = "/chat"
    body: Mapping[str, object] = field(default_factory=lambda: {"model": "m", "stream": True})
    marker: str = '"content":"'
    path: tuple[str | int, ...] = ("content",)
    environment: Mapping[str, str] = field(default_factory=dict)
    alive: str = "/"
    chunks: int = 0  # in its knowledge base
    needs: Path | None = None  # without it this server is left out
    redis: bool = False  # needs a store of its own, which runs beside the load

    def request(self, question: str, **more: object) -> str:
        """Return a request as it stands on the wire."""
        body = json.dumps({**self.body, **more, "messages": [{"role": "user", "content": question}]})
        head = f"POST {self.route} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer sk-bench\r\n"
        head += "content-type: application/json\r\naccept: text/event-stream\r\n"
        return f"{head}content-length: {len(body.encode())}\r\n\r\n{body}"

    def order(self, port: int, streams: int, *, keep: bool = True) -> dict[str, object]:
        """Return what the load client is told to read from this server."""
        return {
            "do": "start",
            "port": port,
            "streams": streams,
            "requests": [self.request(question) for question in QUESTIONS],
            "marker": self.marker,
            "path": self.path,
            "keep": keep,
            "patience": _PATIENCE,
        }


class Running:
    """A server that was started, pinned to a core; standing still while another one is measured."""

    def __init__(self, server: Server, upstream: int, folder: Path, *, core: int | None) -> None:
        self.server = server
        self.port = upstream
        self.process: subprocess.Popen[bytes] | None = None
        self.redis: subprocess.Popen[bytes] | None = None
        if server.command is None:
            return
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        store = {"RAGSTREAM_REDIS_URL": self._start_redis(folder)} if server.redis else {}
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "OPENAI_API_KEY": "sk-bench",
            **server.environment,
            **store,
        }
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                server.command(self.port, upstream, folder),
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=output,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
            )
        self._await(folder)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def pause(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is None:
            return
        self.go_on()
        for process in filter(None, (self.process, self.redis)):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start_redis(self, folder: Path) -> str:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.redis = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(_RETRY)
            else:
                break
        return f"redis://127.0.0.1:{port}/0"

    def _await(self, folder: Path) -> None:
        assert self.process is not None
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self.port}{self.server.alive}", timeout=5).close()
            except OSError as error:
                if getattr(error, "code", 0):  # it answers, if only to say no
                    return
                if self.process.poll() is not None or time.monotonic() > until:
                    said = (folder / "output").read_text(errors="replace")[-2000:]
                    raise SystemExit(f"{self.server.name} did not start:\n{said}") from error
                time.sleep(_RETRY)
            else:
                return


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ragstream(port: int, _upstream: int, folder: Path) -> list[str]:
    data = ["--data-dir", str(folder / "data")]
    return [sys.executable, "-m", "ragstream", "serve", "--port", str(port), *data]


def _uvicorn(module: str) -> Command:
    def command(port: int, _upstream: int, _folder: Path) -> list[str]:
        python = str(ROOT / ".venv-peers" / "bin" / "python")
        app = ["--app-dir", str(HERE / "peers"), f"{module}:app"]
        return [python, "-m", "uvicorn", "--port", str(port), *app]

    return command


def _litellm(port: int, upstream: int, folder: Path) -> list[str]:
    config = {
        "model_list": [
            {
                "model_name": "m",
                "litellm_params": {
                    "model": "openai/m",
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-upstream",
                },
            }
        ]
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    program = str(ROOT / ".venv-interop" / "bin" / "litellm")
    return [program, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]


def _nginx(port: int, upstream: int, folder: Path) -> list[str]:
    (folder / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 10240; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048; keepalive_requests 1000000;
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; proxy_read_timeout 600s; }}
  }}
}}
"""
    )
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _ours(name: str, log: str, *, chunks: int = 0, needs: Path | None = None) -> Server:
    return Server(
        name=name,
        command=_ragstream,
        route="/api/v1/chatbot/chat/stream",
        body={},
        marker='"text_delta":{"content":"',
        path=("text_delta", "content"),
        environment={"RAGSTREAM_STREAM_LOG": log, "RAGSTREAM_MODEL": "m"},
        alive="/readyz",
        chunks=chunks,
        redis=log == "redis",
        needs=needs,
    )


RAGSTREAM = {
    "memory": _ours("Ragstream, memory log", "memory"),
    "sqlite": _ours("Ragstream, SQLite log", "sqlite"),
    "redis": _ours(
        "Ragstream, Redis log", "redis", needs=Path(shutil.which("redis-server") or "redis-server")
    ),
    "documents": _ours("Ragstream, SQLite log, 10,000 chunks", "sqlite", chunks=10_000),
}
_PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS = {
    "relay": Server(name="bare ASGI relay", command=_uvicorn("relay"), needs=_PEERS_PYTHON),
    "hand": Server(
        name="by hand: FastAPI, openai SDK, sse-starlette",
        command=_uvicorn("by_hand"),
        marker='{"content": "',
        needs=_PEERS_PYTHON,
    ),
    "fastapi": Server(
        name="FastAPI's own SSE, openai SDK", command=_uvicorn("fastapi_sse"), needs=_PEERS_PYTHON
    ),
    "litellm": Server(
        name="LiteLLM proxy",
        command=_litellm,
        route="/v1/chat/completions",
        path=_OPENAI,
        environment={"LITELLM_MASTER_KEY": "sk-bench", "LITELLM_LOG": "ERROR"},
        alive="/health/liveliness",
        needs=ROOT / ".venv-interop" / "bin" / "litellm",
    ),
    "nginx": Server(
        name="nginx proxy_pass",
        command=_nginx,
        route="/v1/chat/completions",
        path=_OPENAI,
        alive="/v1/models",
    ),
}
DIRECT = Server(name="no server at all", route="/v1/chat/completions", path=_OPENAI)
