"""StreamSetup: what a streamed response is told before its first event."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from ragstream.delivery.protocols.native import Native
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.setup import StreamSetup, accepts_gzip, admits, prepare, require_event_stream
from ragstream.errors import NotAcceptable
from ragstream.identity.base import Principal
from ragstream.storage.base import Session

ANN = Principal("ann")
TALK = Session(id="a" * 32, owner="ann", name="Talk", created=1.0, updated=2.0)


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""})


def set_up(
    settings: DeliverySettings | None = None, *, session: Session | None = TALK, **headers: str
) -> StreamSetup:
    return prepare(
        request(**headers),
        settings or DeliverySettings(),
        principal=ANN,
        session=session,
        request_id="r1",
    )


def test_sse_configuration() -> None:
    headers = dict(set_up().headers)
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"connection" not in headers
    assert b"content-length" not in headers


def test_context_comes_from_the_session() -> None:
    context = set_up().context
    assert (context.owner, context.session_id, context.session_name, context.request_id) == (
        "ann",
        "a" * 32,
        "Talk",
        "r1",
    )


def test_context_of_a_session_that_is_still_to_be_made() -> None:
    assert set_up(session=None).context.session_id is None


def test_custom_headers() -> None:
    settings = DeliverySettings(headers=(("X-Team", "search"), ("X-Région", "é")))
    assert dict(set_up(settings).headers)[b"x-team"] == b"search"


def test_times_come_from_the_settings() -> None:
    setup = set_up(DeliverySettings(heartbeat=3.0, write_deadline=7.0, head_hold=0.1, retry=900))
    assert (setup.heartbeat, setup.write_deadline, setup.head_hold) == (3.0, 7.0, 0.1)


def test_cors_origin_is_noted() -> None:
    assert set_up(origin="https://app.example").cors_origin == "https://app.example"
    assert set_up().cors_origin is None


@pytest.mark.parametrize(
    ("allowed", "accept_encoding", "compressed"),
    [
        (True, "gzip", True),
        (True, "br, gzip;q=0.5", True),
        (True, "*", True),
        (True, "gzip;q=0", False),
        (True, "gzip;q=wrong", False),
        (True, "", False),
        (True, "br", False),
        (False, "gzip", False),
    ],
)
def test_compression(allowed: bool, accept_encoding: str, compressed: bool) -> None:
    setup = set_up(DeliverySettings(compression=allowed), accept_encoding=accept_encoding)
    assert setup.compression is compressed
    assert (b"content-encoding" in dict(setup.headers)) is compressed
    assert (b"vary" in dict(setup.headers)) is allowed
    assert accepts_gzip(accept_encoding) is (compressed or not allowed)


@pytest.mark.parametrize(
    ("accept", "admitted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("text/*", True),
        ("text/event-stream", True),
        ("application/json, text/event-stream;q=0.1", True),
        ("application/json", False),
        ("*/*, text/event-stream;q=0", False),
        ("text/*;q=0, */*", False),
    ],
)
def test_accept(accept: str | None, admitted: bool) -> None:
    assert admits(accept, "text/event-stream") is admitted
    headers: dict[str, Any] = {} if accept is None else {"accept": accept}
    if admitted:
        require_event_stream(request(**headers))
    else:
        with pytest.raises(NotAcceptable, match="/chat"):
            require_event_stream(request(**headers))


def test_projection_is_native() -> None:
    assert isinstance(set_up().projection, Native)
