"""The tool by which a model searches on: what it finds is numbered on and may be cited."""

from __future__ import annotations

from collections.abc import Sequence

from ragstream.answer.kit import SEARCH_TOOL, AnswerKit
from ragstream.answer.passages import fenced, found, source_id, sources_event, within
from ragstream.answer.turn import Turn
from ragstream.events import Passage
from ragstream.llm.tools import Tool, Toolbox

__all__ = ["toolbox"]

_AT_ONCE = 24_000  # characters of passages in one result, so that a result's cap does not cut them


def toolbox(turn: Turn, kit: AnswerKit) -> Toolbox | None:
    """Return the tools that the model may call in this turn, or None where there are none."""
    tools = list(kit.tools)
    if kit.searches:
        tools.append(Tool(_Search(turn, kit).search_documents, name=SEARCH_TOOL))
    return Toolbox(tools, timeout=kit.settings.tool_seconds) if tools else None


class _Search:
    """All searches of one turn have together as many characters as its first passages may have."""

    def __init__(self, turn: Turn, kit: AnswerKit) -> None:
        self._turn, self._kit = turn, kit
        self._left = kit.settings.context_budget

    async def search_documents(self, query: str) -> str:
        """Search the documents for more passages, in other words than before.

        What is found comes as numbered passages, to be cited as [number] like those you have.
        """
        if self._left <= 0:
            return "There is no room for more passages: answer from those that you have."
        query = " ".join(query.split())
        self._turn.searched.append(query)
        passages = await found(query, self._kit)
        numbers = {passage.text: number for number, passage in enumerate(self._turn.context, 1)}
        known = sorted(numbers[passage.text] for passage in passages if passage.text in numbers)
        fresh = self._added([passage for passage in passages if passage.text not in numbers])
        told = [f"Passages that you have already: {', '.join(map(str, known))}."] if known else []
        return "\n\n".join([*fresh, *told]) or "Nothing was found."

    def _added(self, passages: Sequence[Passage]) -> list[str]:
        """Number those on that fit, and return them as the model reads them."""
        context, citations = self._turn.context, self._turn.citations
        before = len(context)
        chosen = within(passages, min(self._left, _AT_ONCE))
        told = len(sources_event([*context, *chosen]).sources or ())
        chosen = chosen[: max(told - before, 0)]
        self._left -= sum(len(passage.text) for passage in chosen)
        context.extend(chosen)
        numbered = list(enumerate(chosen, before + 1))
        if citations is not None:
            citations.add([source_id(number) for number, _ in numbered])
        return [fenced(number, passage) for number, passage in numbered]
