"""Where a question stands: in which conversation, and after which of its answers."""

from __future__ import annotations

import time
from typing import NamedTuple

from ragstream.delivery.base import Inquiry
from ragstream.delivery.kit import DeliveryKit
from ragstream.errors import Conflict, NotFound
from ragstream.storage.base import Session

__all__ = ["Conversation", "find_conversation"]


class Conversation(NamedTuple):
    """The conversation that a question goes on with; without any of these it begins one."""

    session: Session | None = None
    branches_from: str = ""  # an earlier answer, from which a new session goes on
    replaces: str = ""  # the answer that is to be given anew


async def find_conversation(asked: Inquiry, owner: str, kit: DeliveryKit) -> Conversation:
    """Return the conversation that the question names.

    Raises:
        NotFound: the owner has no such session or answer.
    """
    if asked.previous is not None:
        return await _after(asked.previous, owner, kit)
    if asked.session_id is None:
        return Conversation()
    session = await kit.sessions.get(asked.session_id, owner)
    if session is None and asked.makes_session:
        await _make_session(asked.session_id, owner, kit)
    elif session is None:
        raise NotFound("There is no such session; leave session_id out to begin one.")
    replaces = await _answered(asked, session, kit) if session and asked.anew is not None else ""
    return Conversation(session, replaces=replaces)


async def _answered(asked: Inquiry, session: Session, kit: DeliveryKit) -> str:
    """Return the stream of the answer to give anew; "" where the session has none."""
    turns = await kit.turns.history(session.id)
    for turn in reversed(turns):
        if turn.message_id == asked.anew:
            return turn.stream_id
    newest = turns[-1] if turns else None  # of a question that was refused, say, nothing is stored
    return newest.stream_id if newest and newest.question[-1:] == asked.messages[-1:] else ""


async def _after(stream_id: str, owner: str, kit: DeliveryKit) -> Conversation:
    """Go on in the answer's session if nothing came after it there, else branch off.

    What is under way in this process may not be stored yet: it is asked for last, without waiting, so that of
    two questions after one answer the second one branches.
    """
    turn = await kit.turns.get(stream_id)
    session = await kit.sessions.get(turn.session_id, owner) if turn and turn.owner == owner else None
    if session is None:
        raise NotFound("There is no such answer to go on from; send the whole conversation instead.")
    newest = {stored.stream_id for stored in await kit.turns.history(session.id, limit=1)}
    if under_way := kit.supervisor.newest_of(session.id):
        newest.add(under_way.stream_id)
    return Conversation(session) if newest == {stream_id} else Conversation(branches_from=stream_id)


async def _make_session(session_id: str, owner: str, kit: DeliveryKit) -> None:
    """Begin the session under an id that its client chose; its first question names it."""
    now = time.time()
    new = Session(id=session_id, owner=owner, name="", created=now, updated=now)
    try:
        await kit.sessions.create(new)
    except Conflict:
        if await kit.sessions.get(session_id, owner) is None:  # somebody else's
            raise NotFound("There is no such session; choose another id.") from None
