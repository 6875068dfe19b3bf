"""What every store promises, in memory and in both databases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ragstream.errors import Conflict, IdempotencyMismatch, NotFound
from ragstream.events import (
    Citation,
    EventError,
    EventType,
    ImagePart,
    ImageURL,
    Message,
    Source,
    StreamEvent,
    TextPart,
    Usage,
)
from ragstream.storage.base import Session, Turn
from ragstream.storage.memory import MemoryIdempotency


def session(name: str = "Notes", *, id: str = "s1", owner: str = "ann", at: float = 1.0) -> Session:  # noqa: A002
    return Session(id=id, owner=owner, name=name, created=at, updated=at)


class TestSessions:
    async def test_a_session_is_kept_as_it_was_made(self, stores: Any) -> None:
        await stores.sessions.create(session())
        assert await stores.sessions.get("s1", "ann") == session()

    async def test_somebody_elses_session_is_as_absent_as_a_missing_one(self, stores: Any) -> None:
        await stores.sessions.create(session())
        for id_, owner in (("s1", "bob"), ("s2", "ann"), ("", "ann"), ("s\0", "ann"), ("\ud800", "ann")):
            assert await stores.sessions.get(id_, owner) is None
            assert await stores.sessions.rename(id_, owner, "Mine") is None
            assert await stores.sessions.delete(id_, owner) is False
        assert await stores.sessions.list("bob") == []
        assert await stores.sessions.get("s1", "ann") == session()

    async def test_an_id_is_taken_once(self, stores: Any) -> None:
        await stores.sessions.create(session())
        with pytest.raises(Conflict):
            await stores.sessions.create(session("Other", owner="bob"))
        assert await stores.sessions.list("ann") == [session()]

    async def test_the_newest_comes_first_and_the_list_is_bounded(self, stores: Any) -> None:
        for number in range(4):
            await stores.sessions.create(session(id=f"s{number}", at=float(number)))
        assert [found.id for found in await stores.sessions.list("ann", limit=3)] == ["s3", "s2", "s1"]

    async def test_a_question_makes_its_session_the_newest(self, stores: Any, make_turn: Any) -> None:
        for number in range(2):
            await stores.sessions.create(session(id=f"s{number}", at=float(number)))
        await stores.turns.open(make_turn("s0"))
        assert [found.id for found in await stores.sessions.list("ann")] == ["s0", "s1"]

    async def test_a_new_name_stays(self, stores: Any, make_turn: Any) -> None:
        await stores.sessions.create(session())
        renamed = await stores.sessions.rename("s1", "ann", "Prüfung 🎓")
        assert renamed is not None
        assert renamed.name == "Prüfung 🎓"
        await stores.turns.open(make_turn("s1"))
        assert (await stores.sessions.get("s1", "ann")).name == "Prüfung 🎓"

    async def test_a_name_that_no_line_can_have_is_kept_readable(self, stores: Any) -> None:
        await stores.sessions.create(session("a\0b"))
        await stores.sessions.rename("s1", "ann", "c\ud800d\ne")
        assert (await stores.sessions.get("s1", "ann")).name == "c d e"

    async def test_one_that_is_gone_is_not_brought_back(
        self, stores: Any, make_turn: Any, ended: Any
    ) -> None:
        await stores.sessions.create(session())
        turn = make_turn(continues=True)
        assert await stores.sessions.delete("s1", "ann")
        with pytest.raises(NotFound):
            await stores.turns.open(turn)
        with pytest.raises(NotFound):
            await stores.turns.close(ended(turn))
        assert await stores.sessions.get("s1", "ann") is None
        assert await stores.turns.get(turn.stream_id) is None
        assert await stores.turns.unfinished() == []

    async def test_one_that_is_there_is_continued(self, stores: Any, make_turn: Any) -> None:
        await stores.sessions.create(session(""))
        await stores.turns.open(make_turn(continues=True, question="Why not?"))
        found = await stores.sessions.get("s1", "ann")
        assert (found.name, found.created) == ("Why not?", 1.0)
        assert found.updated > 1.0
        with pytest.raises(NotFound):
            await stores.turns.open(make_turn(continues=True, owner="bob"))

    async def test_its_turns_go_with_it(self, stores: Any, make_turn: Any, ended: Any) -> None:
        done, under_way = make_turn(), make_turn()
        for turn in (done, under_way):
            await stores.turns.open(turn)
        await stores.turns.close(ended(done))
        assert await stores.sessions.delete("s1", "ann")
        assert await stores.turns.history("s1") == []
        await stores.turns.close(ended(under_way))  # its answer comes to an end later
        assert await stores.turns.get(under_way.stream_id) is None
        assert await stores.sessions.list("ann") == []


class TestTurns:
    async def test_a_turn_comes_back_whole(self, stores: Any, make_turn: Any) -> None:
        source = Source(id="s1", title="T", uri="t.md", page=3, quote="q", score=0.5)
        image = ImagePart(image_url=ImageURL(url="data:,x"))
        turn = make_turn(
            metadata={"a": [1, {"b": None}]},
            replaces="another",
            model="m",
            status="failed",
            text="NUL \0, 🎓, a\u2028b, \x85",
            reasoning="because",
            sources=(source,),
            citations=(Citation(source_id="s1", start=0, end=3),),
            usage=Usage(prompt_tokens=9, total_tokens=9, cost=0.25),
            ending=StreamEvent(type=EventType.ERROR, error=EventError(code="internal", message="Sorry.")),
        )
        asked = (Message(role="user", content=(TextPart(text="What\0?"), image)),)
        turn = Turn(**{name: getattr(turn, name) for name in turn.__struct_fields__} | {"question": asked})
        await stores.turns.close(turn)
        assert await stores.turns.get(turn.stream_id) == turn
        assert await stores.turns.history("s1") == [turn]

    async def test_a_turn_under_way_is_there(self, stores: Any, make_turn: Any, ended: Any) -> None:
        turn = make_turn(model="m", metadata={"a": 1})
        await stores.turns.open(turn)
        assert await stores.turns.get(turn.stream_id) == turn
        assert await stores.turns.unfinished() == [turn]
        await stores.turns.close(ended(turn))
        assert await stores.turns.get(turn.stream_id) == ended(turn)
        assert await stores.turns.unfinished() == []

    async def test_the_first_ending_stays(self, stores: Any, make_turn: Any, ended: Any) -> None:
        turn = make_turn()
        await stores.turns.open(turn)
        for text in ("first", "first", "second"):
            await stores.turns.close(ended(turn, text))
        await stores.turns.open(turn)
        assert await stores.turns.history("s1") == [ended(turn, "first")]

    async def test_a_turn_that_was_never_opened_can_be_closed(
        self, stores: Any, make_turn: Any, ended: Any
    ) -> None:
        turn = make_turn(question="Who is there?")
        await stores.turns.close(ended(turn))
        await stores.turns.open(turn)  # it was on its way all the time
        assert await stores.turns.history("s1") == [ended(turn)]
        assert (await stores.sessions.get("s1", "ann")).name == "Who is there?"

    async def test_a_session_is_made_with_its_first_question_as_name(
        self, stores: Any, make_turn: Any
    ) -> None:
        await stores.turns.open(make_turn(question=" What\n is\ta stream?\0 "))
        await stores.turns.open(make_turn(question="And a log?"))
        assert [found.name for found in await stores.sessions.list("ann")] == ["What is a stream?"]

    async def test_a_session_without_a_name_gets_one(self, stores: Any, make_turn: Any) -> None:
        await stores.sessions.create(session(""))
        await stores.turns.open(make_turn(question="What is a log?"))
        assert (await stores.sessions.get("s1", "ann")).name == "What is a log?"

    @pytest.mark.parametrize("call", ["open", "close"])
    async def test_a_question_in_somebody_elses_session_is_refused(
        self, stores: Any, make_turn: Any, ended: Any, call: str
    ) -> None:
        await stores.sessions.create(session())
        foreign = ended(make_turn(owner="bob"))
        with pytest.raises(NotFound):
            await getattr(stores.turns, call)(foreign)
        assert await stores.turns.get(foreign.stream_id) is None
        assert await stores.turns.history("s1") == []
        assert await stores.sessions.get("s1", "ann") == session()

    async def test_history_is_in_the_order_of_the_questions_whatever_the_clock_says(
        self, stores: Any, make_turn: Any
    ) -> None:
        turns = [make_turn(created=float(at)) for at in (50, 20, 90, 20)]
        await stores.turns.open(make_turn("other"))
        for turn in turns:
            await stores.turns.open(turn)
        assert await stores.turns.history("s1") == turns
        assert await stores.turns.history("s1", limit=2) == turns[2:]
        assert await stores.turns.history("s1", limit=0) == []

    async def test_what_is_cleared_is_gone_and_stays_gone(
        self, stores: Any, make_turn: Any, ended: Any
    ) -> None:
        done, under_way, other = make_turn(), make_turn(), make_turn("other")
        for turn in (done, under_way, other):
            await stores.turns.open(turn)
        await stores.turns.close(ended(done))
        assert set(await stores.turns.clear("s1")) == {done.stream_id, under_way.stream_id}
        assert await stores.turns.clear("s1") == []
        assert await stores.turns.unfinished() == [other]
        await stores.turns.close(ended(under_way))
        await stores.turns.open(under_way)
        assert await stores.turns.history("s1") == []
        assert await stores.turns.get(under_way.stream_id) is None
        assert await stores.turns.history("other") == [other]
        await stores.turns.open(again := make_turn())
        assert await stores.turns.history("s1") == [again]

    async def test_a_session_branches_from_an_answer(self, stores: Any, make_turn: Any, ended: Any) -> None:
        first, under_way, root, later = (make_turn(question=f"{number}?") for number in range(4))
        for turn in (first, under_way, root, later):
            await stores.turns.open(turn)
        for turn in (first, root, later):
            await stores.turns.close(ended(turn, f"Answer to {turn.question[0].text}"))
        before = await stores.turns.history("s1")
        branch = make_turn("s2", question="Else?", branches_from=root.stream_id)
        await stores.turns.open(branch)
        await stores.turns.open(branch)
        await stores.turns.close(ended(branch))
        found = await stores.turns.history("s2")
        assert [turn.text for turn in found] == ["Answer to 0?", "Answer to 2?", "Because."]
        assert found[-1].stream_id == branch.stream_id
        assert (await stores.sessions.get("s2", "ann")).name == "Else?"
        assert len({turn.stream_id for turn in (*before, *found)}) == 7
        assert await stores.turns.history("s1") == before
        await stores.sessions.delete("s1", "ann")
        assert await stores.turns.history("s2") == found
        assert await stores.turns.get(found[0].stream_id) == found[0]

    @pytest.mark.parametrize("call", ["open", "close"])
    async def test_a_branch_needs_its_answer(
        self, stores: Any, make_turn: Any, ended: Any, call: str
    ) -> None:
        await stores.turns.close(mine := ended(make_turn()))
        for owner, root in (("bob", mine.stream_id), ("ann", "gone"), ("ann", "\0")):
            branch = ended(make_turn("s2", owner=owner, branches_from=root))
            with pytest.raises(NotFound):
                await getattr(stores.turns, call)(branch)
        await stores.turns.open(cleared := make_turn("s3"))
        await stores.turns.clear("s3")
        with pytest.raises(NotFound):
            await stores.turns.open(make_turn("s2", branches_from=cleared.stream_id))
        assert await stores.turns.history("s2") == []
        assert await stores.sessions.get("s2", "ann") is None

    async def test_a_complete_answer_takes_the_place_of_its_earlier_versions(
        self, stores: Any, make_turn: Any, ended: Any
    ) -> None:
        first, other, old, left, after = (make_turn(name) for name in ("s1", "s2", "s1", "s1", "s1"))
        failed = make_turn(replaces=old.stream_id)
        new = make_turn(replaces=failed.stream_id)
        for turn in (first, other, old, left, after, failed, new, later := make_turn()):
            await stores.turns.open(turn)
        for turn in (first, old, after):
            await stores.turns.close(ended(turn))
        gone_wrong = msgspec.structs.replace(ended(failed, "Beca"), status="failed")
        await stores.turns.close(gone_wrong)
        stands = [ended(first), ended(old), left, ended(after), gone_wrong, new, later]
        assert await stores.turns.history("s1") == stands
        for _ in range(2):
            await stores.turns.close(ended(new))
            assert await stores.turns.history("s1") == [ended(first), ended(new), later]
        await stores.turns.close(ended(left))  # it was under way all the time
        await stores.turns.open(left)
        assert await stores.turns.history("s1") == [ended(first), ended(new), later]
        assert await stores.turns.get(old.stream_id) is None
        assert await stores.turns.history("s2") == [other]

    async def test_an_ending_that_comes_too_late_replaces_nothing(
        self, stores: Any, make_turn: Any, ended: Any
    ) -> None:
        old = make_turn()
        new, foreign = make_turn(replaces=old.stream_id), make_turn("s2", replaces=old.stream_id)
        await stores.turns.close(ended(old))
        await stores.turns.open(new)
        cut = msgspec.structs.replace(ended(new, ""), status="interrupted")
        await stores.turns.close(cut)
        await stores.turns.close(ended(new))
        await stores.turns.close(ended(foreign))
        assert await stores.turns.history("s1") == [ended(old), cut]
        assert await stores.turns.history("s2") == [ended(foreign)]

    @pytest.mark.parametrize("id_", ["", "\0", "a\ud800", "../x", "é", "x" * 5000])
    async def test_what_is_no_id_is_absent(self, stores: Any, make_turn: Any, id_: str) -> None:
        await stores.turns.open(turn := make_turn())
        assert await stores.turns.clear("s1") == [turn.stream_id]
        assert await stores.turns.get(id_) is None
        assert await stores.turns.history(id_) == []
        assert await stores.turns.clear(id_) == []


class TestIdempotency:
    async def test_the_first_question_gives_the_stream(self, stores: Any) -> None:
        assert await stores.idempotency.claim("ann", "k", "h", "one") == "one"
        assert await stores.idempotency.claim("ann", "k", "h", "two") == "one"

    async def test_another_body_is_refused_and_changes_nothing(self, stores: Any) -> None:
        await stores.idempotency.claim("ann", "k", "h", "one")
        with pytest.raises(IdempotencyMismatch):
            await stores.idempotency.claim("ann", "k", "other", "two")
        assert await stores.idempotency.claim("ann", "k", "h", "three") == "one"

    async def test_keys_are_their_owners(self, stores: Any) -> None:
        assert await stores.idempotency.claim("ann", "k", "h", "one") == "one"
        assert await stores.idempotency.claim("bob", "k", "other", "two") == "two"

    async def test_a_released_key_is_free_for_the_stream_that_held_it_alone(self, stores: Any) -> None:
        await stores.idempotency.claim("ann", "k", "h", "one")
        await stores.idempotency.release("ann", "k", "two")
        assert await stores.idempotency.claim("ann", "k", "h", "three") == "one"
        await stores.idempotency.release("ann", "k", "one")
        assert await stores.idempotency.claim("ann", "k", "other", "four") == "four"

    async def test_keys_are_forgotten_when_their_time_is_over(self) -> None:
        now = 0.0
        idempotency = MemoryIdempotency(keep=60.0, clock=lambda: now)
        for number in range(100):
            await idempotency.claim("ann", f"k{number}", "h", "one")
        now = 30.0
        await idempotency.claim("ann", "later", "h", "two")
        now = 61.0
        assert await idempotency.claim("ann", "later", "h", "three") == "two"
        assert len(idempotency.rows) == 1
        assert await idempotency.claim("ann", "k0", "other", "four") == "four"
