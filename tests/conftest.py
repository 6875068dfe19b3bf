"""What many tests need: of the machine (where it is missing they are skipped, and the run's end says so), a
model provider that misbehaves on demand, and a database server that can be stopped.

With ``REQUIRE_SERVICES=1``, as in CI, a missing service stops the run before its first test.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import hypothesis
import pytest

pytest_plugins = ["tests.trial"]

# A machine with other work is slow at everything: what took long says nothing about the code.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

ROOT = Path(__file__).parents[1]
INTEROP = {  # what `make interop` installs from, and the copy that it leaves beside what it installed
    ROOT / "requirements-interop.lock": ROOT / ".venv-interop" / ".made-from",
    ROOT / "tests/interop/package-lock.json": ROOT / "tests/interop/node_modules" / ".made-from",
}


class Need(NamedTuple):
    """Something of the machine that tests with a marker need."""

    met: Callable[[], bool]
    words: str  # what is needed, and how to get it
    service: bool = True  # False: a privilege, which CI may lack as well


def _any_of(*programs: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(program) for program in programs)


def _interop() -> bool:
    return all(made.is_file() and made.read_bytes() == lock.read_bytes() for lock, made in INTEROP.items())


def _postgres() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


@functools.cache
def _may_mount() -> bool:
    """Whether a tmpfs can be mounted here; tried in a namespace of its own, so nothing is left behind."""
    if not shutil.which("unshare"):
        return False
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(trial, capture_output=True, check=False).returncode == 0


NEEDS = {
    "browser": Need(
        _any_of("chromium", "chromium-browser", "google-chrome"), "Chromium: apt install chromium"
    ),
    "interop": Need(_interop, "the clients and servers of others, as they are locked now: make interop"),
    "nginx": Need(_any_of("nginx", "/usr/sbin/nginx"), "nginx: apt install nginx-light"),
    "node": Need(_any_of("node"), "Node.js: apt install nodejs npm"),
    "postgres": Need(_postgres, "PostgreSQL: apt install postgresql"),
    "redis": Need(_any_of("redis-server", "valkey-server"), "Redis or Valkey: apt install redis-server"),
    "root": Need(_may_mount, "the right to mount: run as root", service=False),
}


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs under test: what starts us in the background may ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the machine cannot run, or refuse to start where everything must run."""
    for marker, need in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if not marked or need.met():
            continue
        if need.service and os.environ.get("REQUIRE_SERVICES"):
            raise pytest.UsageError(f"{len(marked)} tests need {need.words}")
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"needs {need.words}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped for want of what, and how to have it run."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"Not run ({count}): {reason}")


class Upstream:
    """A model provider over a socket: to each request the bytes of the next answer, then FIN.

    An answer is a series of bytes to write, ``STALL`` (say nothing until the client leaves) and ``RESET``
    (cut the connection with RST). The last answer serves all further requests.
    """

    STALL, RESET = "stall", "reset"
    HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    def __init__(self) -> None:
        self.answers: list[Iterable[bytes | str]] = [[self.HEAD]]
        self.bodies: list[dict[str, Any]] = []  # what was asked
        self.heads: list[bytes] = []
        self.live = 0  # connections that are open
        self.url = ""
        self._left = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    @staticmethod
    def chunk(content: str | None = None, **more: Any) -> bytes:
        """Return a chunk of an answer as an event; ``more`` stands beside the content."""
        delta = {} if content is None else {"content": content}
        return Upstream.data({"choices": [{"index": 0, "delta": delta | more.pop("delta", {}), **more}]})

    @staticmethod
    def data(value: Any) -> bytes:
        return b"data: " + json.dumps(value).encode() + b"\n\n"

    def say(self, *words: str) -> None:
        """Answer every request with these words, and properly."""
        ending = [self.chunk(finish_reason="stop"), b"data: [DONE]\n\n"]
        self.answers = [[self.HEAD, *(self.chunk(word) for word in words), *ending]]

    async def all_left(self) -> None:
        """Wait until every connection is closed: a second, as promised."""
        async with asyncio.timeout(1.0), self._left:
            await self._left.wait_for(lambda: not self.live)

    def drop_all(self) -> None:
        """Cut what is still connected."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.live += 1
        self._writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            self.heads.append(head)
            self.bodies.append(json.loads(body or b"{}"))
            answer = self.answers[min(len(self.heads), len(self.answers)) - 1]
            await self._play(answer, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()
            self._writers.discard(writer)
            self.live -= 1
            async with self._left:
                self._left.notify_all()

    async def _play(
        self, answer: Iterable[bytes | str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for part in answer:
            if part == self.STALL:
                await reader.read()
            elif part == self.RESET:
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            elif isinstance(part, bytes):
                writer.write(part)
                await writer.drain()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A model provider on loopback whose every byte the test chooses."""
    provider = Upstream()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield provider
    server.close()
    provider.drop_all()
    await provider.all_left()


class PostgresServer:
    """A PostgreSQL of its own, in a folder, on a Unix socket: nothing else of the machine is touched.

    PostgreSQL refuses to run as root; where the tests do, it runs as ``postgres`` or ``nobody``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._user = self._lesser_user() if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        options = ("--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "--encoding=UTF8")
        self._run("initdb", "--pgdata", str(folder / "data"), *options)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        # Its processes may die, the machine does not: what is written need not reach the disk.
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._control("start", "--wait", "--log", str(self.folder / "log"), "--options", settings)

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is how it dies in an accident."""
        self._control("stop", "--wait", "--mode", mode)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self.folder / "data"), "--timeout", "60", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        found = shutil.which(program) or next(str(home / program) for home in reversed(homes))
        group = pwd.getpwnam(self._user).pw_gid if self._user else None
        # Not into a pipe: the server that pg_ctl leaves behind would hold it open.
        with (self.folder.parent / f"{self.folder.name}.{program}").open("w+b") as said:
            done = subprocess.run(
                [found, *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=group,
                extra_groups=[] if self._user else None,
                check=False,
                timeout=120,
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode()
        Path(said.name).unlink()

    @staticmethod
    def _lesser_user() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL for the tests marked ``postgres``."""
    # Not below pytest's own folder, which another user cannot enter, and short enough for a socket's name.
    folder = Path(tempfile.mkdtemp(prefix="ragstream-pg-"))
    server = PostgresServer(folder)
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)


class RedisServer:
    """A Redis of its own, in a folder, on a free port of loopback; it can be killed, held up, brought back.

    Args:
        folder: where it keeps its files.
        persistence: what it outlives: "always" and "everysec" are those of its append-only file.
        options: further settings, such as ``maxmemory``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        persistence: Literal["always", "everysec", "none"] = "none",
        options: Iterable[tuple[str, str]] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._log = folder / "redis.log"
        kept = [] if persistence == "none" else ["--appendonly", "yes", "--appendfsync", persistence]
        program = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--loglevel", "warning", *kept]
        for name, value in options:
            self._command += [f"--{name}", value]
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as said:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        deadline = time.monotonic() + 20
        while self.ask("PING") != "+PONG":
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def ask(self, *command: str) -> str:
        """Send one command over a connection of its own; return the first line of the reply."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as line:
                line.sendall(b"".join(_bulk([f"*{len(command)}", *command])))
                return line.makefile("rb").readline().decode().strip()
        except OSError as fault:
            return f"-{fault}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as an accident would."""
        self.process.kill()
        self.process.wait(20)


def _bulk(parts: list[str]) -> Iterator[bytes]:
    head, *rest = parts
    yield f"{head}\r\n".encode()
    for part in rest:
        yield f"${len(part.encode())}\r\n{part}\r\n".encode()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis for the tests marked ``redis``; each uses a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Return what starts a Redis of the test's own, to be killed, held up or filled."""
    servers: list[RedisServer] = []

    def make(**settings: Any) -> RedisServer:
        servers.append(RedisServer(tmp_path / f"redis{len(servers)}", **settings))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        if server.process.poll() is None:
            server.signal(signal.SIGCONT)
            server.kill()
