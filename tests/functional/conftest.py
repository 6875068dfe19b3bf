"""A server as people start it, for the tests that need one."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

SECONDS = 60.0

Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Return a context manager that runs a ``serve`` command and yields a client once all is read."""
    return _serving


@contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[httpx.Client]:
    server = subprocess.Popen(
        [*command, "--port", "0"], cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=_address(server), timeout=SECONDS) as client:
            _wait_until_all_is_read(client)
            yield client
    finally:
        server.terminate()
        said = server.communicate(timeout=SECONDS)[1]
    assert server.returncode == 0, said


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    said = ""
    for line in server.stderr:
        if found := re.search(r"http://\S+", line):
            return found.group()
        said += line
    raise AssertionError(f"the server ended: {said}")


def _wait_until_all_is_read(client: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS
    while not _all_is_read(client):
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.05)


def _all_is_read(client: httpx.Client) -> bool:
    if client.get("/readyz").status_code != 200:
        return False
    known = client.get("/api/v1/documents").raise_for_status().json()
    return bool(known["size"]["documents"]) and not known["ingest"]["running"]
