"""Conversations: made, listed, renamed, deleted, read and cleared."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing, suppress

from fastapi import APIRouter, Request
from starlette.responses import Response

from ragstream.api.caller import Caller, Parts, body_of
from ragstream.api.described import Responses, body, problems, returns
from ragstream.api.history import ChatHistory, history_of
from ragstream.api.parts import ApiParts
from ragstream.api.replies import SessionList, SessionOut, reply
from ragstream.api.schemas import RenameRequest, SessionRequest
from ragstream.errors import NotFound
from ragstream.storage.base import Session
from ragstream.streamlog.base import StreamLog

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["sessions"], default_response_class=Response)

_STOPPING = 6.0  # seconds for a stopped answer to end; its closing steps bound themselves to five


_GONE: Responses = {204: {"description": "It is gone"}}


@router.post(
    "/auth/session",
    status_code=201,
    openapi_extra=body("SessionRequest", required=False),
    responses=returns(SessionOut, "The conversation", status=201) | problems(413, 422),
)
async def create_session(request: Request, parts: Parts, caller: Caller) -> Response:
    """Begin a conversation."""
    asked = await body_of(request, parts, SessionRequest)
    now = time.time()
    session = Session(id=secrets.token_hex(16), owner=caller.name, name=asked.name, created=now, updated=now)
    await parts.kit.sessions.create(session)
    return reply(_out(session), 201)


@router.get("/auth/sessions", responses=returns(SessionList, "The conversations") | problems())
async def list_sessions(parts: Parts, caller: Caller) -> Response:
    """List the caller's conversations, the newest first."""
    sessions = await parts.kit.sessions.list(caller.name)
    return reply(SessionList([_out(session) for session in sessions]))


@router.patch(
    "/auth/sessions/{session_id}",
    openapi_extra=body("RenameRequest"),
    responses=returns(SessionOut, "The conversation") | problems(404, 413, 422),
)
async def rename_session(request: Request, parts: Parts, caller: Caller, session_id: str) -> Response:
    """Give a conversation another name."""
    asked = await body_of(request, parts, RenameRequest)
    session = await parts.kit.sessions.rename(session_id, caller.name, asked.name)
    if session is None:
        raise NotFound("There is no such session.")
    return reply(_out(session))


@router.delete("/auth/sessions/{session_id}", status_code=204, responses=_GONE | problems(404))
async def delete_session(parts: Parts, caller: Caller, session_id: str) -> Response:
    """Delete a conversation with its messages and their logs."""
    await _own_session(parts, session_id, caller.name)
    await _clear(parts, session_id, caller.name)
    await parts.kit.sessions.delete(session_id, caller.name)
    return Response(status_code=204)


@router.get("/chatbot/messages", responses=returns(ChatHistory, "The messages") | problems(404, 422))
async def chat_history(parts: Parts, caller: Caller, session_id: str) -> Response:
    """Read the messages of a conversation, the oldest first; one under way has the stream to follow."""
    await _own_session(parts, session_id, caller.name)
    turns = await parts.kit.turns.history(session_id)
    return reply(ChatHistory(session_id=session_id, messages=history_of(turns)))


@router.delete("/chatbot/messages", status_code=204, responses=_GONE | problems(404, 422))
async def clear_chat_history(parts: Parts, caller: Caller, session_id: str) -> Response:
    """Clear a conversation: running answers are stopped, messages and logs deleted."""
    await _own_session(parts, session_id, caller.name)
    await _clear(parts, session_id, caller.name)
    return Response(status_code=204)


async def _own_session(parts: ApiParts, session_id: str, owner: str) -> Session:
    session = await parts.kit.sessions.get(session_id, owner)
    if session is None:
        raise NotFound("There is no such session.")
    return session


async def _clear(parts: ApiParts, session_id: str, by: str) -> None:
    """Stop what is under way, let its readers see the end, then delete everything."""
    for turn in await parts.kit.turns.history(session_id):
        if turn.ending is None:
            await parts.kit.log.cancel(turn.stream_id, by)
            with suppress(TimeoutError, NotFound):
                async with asyncio.timeout(_STOPPING):
                    await _ended(parts.kit.log, turn.stream_id)
    for stream_id in await parts.kit.turns.clear(session_id):
        await parts.kit.log.delete(stream_id)


async def _ended(log: StreamLog, stream_id: str) -> None:
    status = await log.status(stream_id)
    if status is not None:
        async with aclosing(log.read(stream_id, status.last_seq)) as records:
            async for _ in records:
                pass
        await asyncio.sleep(0)  # who keeps up was woken in the same pass, and now has written the end


def _out(session: Session) -> SessionOut:
    return SessionOut(session.id, session.name, session.created, session.updated)
