"""Exchange: the state of the request lane, one HTTP request from its first byte to its last."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ragstream.blueprint import State
from ragstream.delivery.base import AnswerRun, Follow, Inquiry, Intake
from ragstream.delivery.frames import Frame
from ragstream.delivery.protocols.base import Whole
from ragstream.delivery.reader import Reader
from ragstream.delivery.setup import StreamSetup
from ragstream.delivery.single_pass import SinglePassStream
from ragstream.errors import RequestError
from ragstream.events import StreamEvent
from ragstream.identity.base import Principal
from ragstream.storage.base import Session
from ragstream.streamlog.base import Record
from ragstream.streamlog.tap import Tap

__all__ = ["Exchange"]


@dataclass(slots=True, kw_only=True)
class Exchange(State):
    """One HTTP request; each field is set once, by the step that its comment names."""

    scope: Scope
    receive: Receive
    send: Send
    intake: Intake
    arrived: float = field(default_factory=perf_counter)
    principal: Principal | None = None  # validate_request
    asked: Inquiry | Follow | None = None  # validate_request
    session: Session | None = None  # validate_request, where the request names one
    branches_from: str = ""  # validate_request, where the request goes on from an earlier answer
    replaces: str = ""  # validate_request, where the request wants another version of an answer
    refusal: RequestError | None = None  # validate_request
    setup: StreamSetup | None = None  # set_up_stream, find_stream
    run: AnswerRun | None = None  # create_generator
    stream: SinglePassStream[StreamEvent] | None = None  # create_generator
    stream_id: str = ""  # create_generator, find_stream
    session_id: str = ""  # create_generator, find_stream
    records: AsyncGenerator[tuple[Record, ...], None] | None = None  # claim_stream, find_stream
    tap: Tap = field(default_factory=Tap)  # through which the reader takes what comes while it waits
    frames: AsyncGenerator[Frame, None] | None = None  # write_sse
    reply: Response | None = None  # instead of a stream: find_stream, send_chunks
    reader: Reader | None = None  # send_chunks, once the head is sent
    collected: Whole | None = None  # collect_answer

    @property
    def request(self) -> Request:
        """The request, for reading its head."""
        return Request(self.scope)

    @property
    def ids(self) -> dict[str, str]:
        """The headers that name what is read, as far as it is known."""
        ids = {"x-stream-id": self.stream_id, "x-session-id": self.session_id}
        return {name: value for name, value in ids.items() if value}

    @property
    def began(self) -> bool:
        """Whether this request began the answer that it reads."""
        return self.run is not None and self.run.question.stream_id == self.stream_id

    @property
    def streaming(self) -> bool:
        """Whether the reader wants a stream, not the whole."""
        return self.asked is not None and self.asked.streaming
