"""A response of OpenAI's as it grows: its items, and the events that say how they came to be.

All text of an answer is one message, whatever happens between its words, so that the places of citations
count in it. A search is told once it is known what it found. A call that Ragstream executed is an
``mcp_call``, which clients show and do not execute; one that is left to the client is a ``function_call``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ragstream.delivery.protocols.counted import PendingCalls, is_link, unhappy
from ragstream.events import (
    Citation,
    EventType,
    MessageStart,
    ReasoningDelta,
    Source,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)

__all__ = ["ECHO", "GrowingResponse", "Said"]

Said = dict[str, Any]

ECHO = "_response"  # in the question's metadata: what of the request the response says again
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_TEXT_FIELD = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}


class _Part:
    """A piece of content while it is written."""

    def __init__(self, kind: str, item: _Item) -> None:
        self.kind, self.index = kind, len(item.parts)
        self.pieces: list[str] = []
        self.annotations: list[Said] = []
        item.parts.append(self)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def told(self) -> Said:
        part: Said = {"type": self.kind, _TEXT_FIELD[self.kind]: self.text}
        return part | {"annotations": self.annotations} if self.kind == "output_text" else part


class _Item:
    """An item of the output."""

    def __init__(self, kind: str, name: str, index: int, /, **fields: Any) -> None:
        self.index, self.status = index, "in_progress"
        self.parts: list[_Part] = []
        self.fields: Said = {"id": name, "type": kind, **fields}

    @property
    def place(self) -> Said:
        """How events name it."""
        return {"item_id": self.fields["id"], "output_index": self.index}

    def told(self) -> Said:
        content = {"content": [part.told() for part in self.parts]} if "content" in self.fields else {}
        return self.fields | content | {"status": self.status}


class GrowingResponse:
    """Takes the events of an answer, and says what each adds to the response."""

    def __init__(self) -> None:
        self._start: MessageStart | None = None
        self._items: list[_Item] = []
        self._message: _Item | None = None
        self._reasoning: _Item | None = None  # while it is open
        self._sources: dict[str, Source] = {}
        self._calls = PendingCalls()
        self._ending: StreamEvent | None = None

    def take(self, event: StreamEvent) -> Iterator[Said]:
        """Take the next event, which is no RESET; yield what is said of it, with its type first."""
        match event:
            case StreamEvent(text_delta=TextDelta() as delta):
                yield from self._write(delta)
            case StreamEvent(reasoning_delta=ReasoningDelta() as reasoning):
                yield from self._reason(reasoning.content)
            case StreamEvent(citation=Citation() as citation):
                yield from self._cite(citation)
            case StreamEvent(message_start=MessageStart() as start):
                yield from self._begin(start)
            case StreamEvent(type=EventType.SOURCES):
                yield from self._search(event.sources or (), event.queries or ())
            case StreamEvent(tool_result=ToolResult() as result):
                if call := self._calls.take(event):
                    yield from self._executed(call, result)
            case _ if event.terminal:
                yield from self._end(event)
            case _:
                self._calls.take(event)

    def told(self) -> Said:
        """Return the response as it stands."""
        start, ending = self._start, self._ending
        echo = _echo(start)
        error = unhappy(ending) if ending else None
        reason = _INCOMPLETE.get(ending.finish_reason or "") if ending else None
        usage = ending.usage if ending else None
        return {
            "id": self._name("resp"),
            "object": "response",
            "created_at": start.created if start else 0,
            "status": self._status(),
            "background": echo.get("background") is True,
            "conversation": {"id": start.session_id} if start else None,
            "error": {"code": error.code, "message": error.message} if error else None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": None,
            "metadata": _metadata(start),
            "model": start.model if start else "",
            "output": [item.told() for item in self._items],
            "parallel_tool_calls": True,
            "previous_response_id": echo.get("previous_response_id"),
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": _usage(usage) if usage else None,
        }

    def _status(self) -> str:
        if self._ending is None:
            return "in_progress"
        if self._ending.cancelled is not None:
            return "cancelled"
        if unhappy(self._ending):
            return "failed"
        return "incomplete" if self._ending.finish_reason in _INCOMPLETE else "completed"

    def _name(self, prefix: str, number: int | None = None) -> str:
        stream_id = self._start.stream_id if self._start else ""
        return f"{prefix}_{stream_id}" if number is None else f"{prefix}_{stream_id}_{number}"

    def _begin(self, start: MessageStart) -> Iterator[Said]:
        self._start = start
        told = self.told()
        queued = told | {"status": "queued"} if told["background"] else told
        yield {"type": "response.created", "response": queued}
        if told["background"]:
            yield {"type": "response.queued", "response": queued}
        yield {"type": "response.in_progress", "response": told}

    def _add(self, kind: str, prefix: str, /, **fields: Any) -> Iterator[Said]:
        index = len(self._items)
        name = self._name(prefix) if kind == "message" else self._name(prefix, index)
        item = _Item(kind, name, index, **fields)
        self._items.append(item)
        yield {"type": "response.output_item.added", "output_index": index, "item": item.told()}

    def _finish(self, item: _Item, status: str = "completed", **fields: Any) -> Iterator[Said]:
        item.status = status
        item.fields |= fields
        yield {"type": "response.output_item.done", "output_index": item.index, "item": item.told()}

    def _search(self, sources: Sequence[Source], queries: Sequence[str]) -> Iterator[Said]:
        """Tell of a search; what was found before is not told again."""
        fresh = [source for source in sources if source.id not in self._sources]
        self._sources |= {source.id: source for source in fresh}
        yield from self._add("file_search_call", "fs", queries=list(queries), results=None)
        item = self._items[-1]
        for state in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{state}", **item.place}
        yield from self._finish(item, results=[_result(source) for source in fresh])

    def _reason(self, content: str) -> Iterator[Said]:
        if self._reasoning is None:
            yield from self._add("reasoning", "rs", summary=[], content=[])
            self._reasoning = self._items[-1]
            yield from self._open_part(self._reasoning, "reasoning_text")
        yield from self._extend(self._reasoning, content)

    def _end_reasoning(self, status: str = "completed") -> Iterator[Said]:
        if self._reasoning is not None:
            item, self._reasoning = self._reasoning, None
            yield from self._close_part(item)
            yield from self._finish(item, status)

    def _write(self, delta: TextDelta) -> Iterator[Said]:
        yield from self._end_reasoning()
        kind = "refusal" if delta.refusal else "output_text"
        if self._message is None:
            yield from self._add("message", "msg", role="assistant", content=[])
            self._message = self._items[-1]
            yield from self._open_part(self._message, kind)
        elif self._message.parts[-1].kind != kind:
            yield from self._close_part(self._message)
            yield from self._open_part(self._message, kind)
        yield from self._extend(self._message, delta.content)

    def _cite(self, citation: Citation) -> Iterator[Said]:
        message = self._message
        if message is None or message.parts[-1].kind != "output_text":
            return
        part, annotation = message.parts[-1], _annotation(citation, self._sources)
        part.annotations.append(annotation)
        yield {
            "type": "response.output_text.annotation.added",
            **message.place,
            "content_index": part.index,
            "annotation_index": len(part.annotations) - 1,
            "annotation": annotation,
        }

    def _open_part(self, item: _Item, kind: str) -> Iterator[Said]:
        part = _Part(kind, item)
        place = {**item.place, "content_index": part.index}
        yield {"type": "response.content_part.added", **place, "part": part.told()}

    def _extend(self, item: _Item, content: str) -> Iterator[Said]:
        part = item.parts[-1]
        part.pieces.append(content)
        more: Said = {"logprobs": []} if part.kind == "output_text" else {}
        place = {**item.place, "content_index": part.index}
        yield {"type": f"response.{part.kind}.delta", **place, "delta": content, **more}

    def _close_part(self, item: _Item) -> Iterator[Said]:
        part = item.parts[-1]
        more: Said = {"logprobs": []} if part.kind == "output_text" else {}
        place = {**item.place, "content_index": part.index}
        yield {"type": f"response.{part.kind}.done", **place, _TEXT_FIELD[part.kind]: part.text, **more}
        yield {"type": "response.content_part.done", **place, "part": part.told()}

    def _executed(self, call: ToolCall, result: ToolResult) -> Iterator[Said]:
        yield from self._end_reasoning()
        fields = {"server_label": "ragstream", "name": call.name, "arguments": call.arguments}
        yield from self._add("mcp_call", "mcp", **fields)
        came = {"error": result.result} if result.is_error else {"output": result.result}
        yield from self._finish(self._items[-1], "failed" if result.is_error else "completed", **came)

    def _hand_over(self, call: ToolCall) -> Iterator[Said]:
        yield from self._add("function_call", "fc", call_id=call.id, name=call.name, arguments="")
        item = self._items[-1]
        yield {"type": "response.function_call_arguments.delta", **item.place, "delta": call.arguments}
        done = {"name": call.name, "arguments": call.arguments}
        yield {"type": "response.function_call_arguments.done", **item.place, **done}
        yield from self._finish(item, arguments=call.arguments)

    def _end(self, ending: StreamEvent) -> Iterator[Said]:
        self._ending = ending
        status = self._status()
        written = "completed" if status == "completed" else "incomplete"
        yield from self._end_reasoning(written)
        if self._message is not None:
            yield from self._close_part(self._message)
            yield from self._finish(self._message, written)
        if ending.finish_reason == "tool_calls":
            for call in self._calls.handed_over:
                yield from self._hand_over(call)
        # There is no event of a cancelled response: it is a failed one, whose response says "cancelled".
        yield {"type": f"response.{'failed' if status == 'cancelled' else status}", "response": self.told()}


def _echo(start: MessageStart | None) -> Said:
    echo = start.metadata.get(ECHO) if start else None
    return echo if isinstance(echo, dict) else {}


def _metadata(start: MessageStart | None) -> Said:
    """Return the metadata of whoever asked; what is nested is ours, or another protocol's."""
    told = start.metadata.items() if start else ()
    return {name: value for name, value in told if not isinstance(value, dict)}


def _result(source: Source) -> Said:
    attributes = {"uri": source.uri, "title": source.title, "source_id": source.id}
    if source.page is not None:
        attributes["page"] = str(source.page)
    return {
        "file_id": source.document_id or source.id,
        "filename": _filename(source),
        "score": source.score,
        "text": source.quote,
        "attributes": attributes,
    }


def _filename(source: Source) -> str:
    """Return the name of the file; of a page on the web, its title."""
    return source.title if is_link(source.uri) else source.uri.rpartition("/")[2] or source.title


def _annotation(citation: Citation, sources: dict[str, Source]) -> Said:
    source = sources.get(citation.source_id)
    place = {"start_index": citation.start, "end_index": citation.end, "source_id": citation.source_id}
    if source is not None and is_link(source.uri):
        return {"type": "url_citation", "url": source.uri, "title": source.title, **place}
    return {
        "type": "file_citation",
        "file_id": (source.document_id or source.id) if source else citation.source_id,
        "filename": _filename(source) if source else "",
        "index": citation.end,
        **place,
    }


def _usage(usage: Usage) -> Said:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
