"""The OpenAPI document against the real server: what it promises is what is answered, whatever is sent."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ragstream import ChatRequest, Ragstream
from ragstream.bootstrap import wiring
from ragstream.bootstrap.connection import Connection
from ragstream.settings import Settings

load_all_checks()
_MORE_THAN_A_SCHEMA = (
    "POST /api/v1/documents",
    "POST /api/v1/chatbot/chat",
    "POST /api/v1/chatbot/chat/stream",
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "POST /api/v1/ui/chat",
    "POST /api/v1/ui/agent",
)


async def nothing(_: ChatRequest) -> AsyncGenerator[str, None]:
    yield ""


# Read here, so that each operation is a test of its own; every server has the same document.
schema = schemathesis.openapi.from_dict(Ragstream(nothing).service.app.openapi())
schema.config.checks.negative_data_rejection.expected_statuses.append("413")  # five hundred long messages


class Background(threading.Thread):
    """The real app in a loop of its own, beside the tests."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(app, http=Connection, lifespan="on", log_config=None))

    def run(self) -> None:
        asyncio.run(self.server.serve([self._listener]))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    document = folder / "fjord.md"
    document.write_text("# Fjords\n\nA fjord is a narrow sea inlet between cliffs.\n")
    background = Background(wiring.server(Settings(data_dir=folder / "data"), [document]).app)
    background.start()
    deadline = time.monotonic() + 60
    while requests.get(f"{background.url}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < deadline
    yield background.url
    background.server.should_exit = True
    background.join(60)
    assert not background.is_alive()


@schema.parametrize()
@settings(
    max_examples=int(os.environ.get("EXAMPLES", "15")), deadline=None, suppress_health_check=list(HealthCheck)
)
def test_every_operation(case: schemathesis.Case[Any], url: str) -> None:
    # Which files are documents, and which options the provider takes, no schema can say.
    not_said: list[Any] = [positive_data_acceptance] if case.operation.label in _MORE_THAN_A_SCHEMA else []
    case.call_and_validate(base_url=url, excluded_checks=not_said)
