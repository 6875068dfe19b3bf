"""What ``ragstream doctor`` tries: everything that a server would need, without changing anything."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ragstream.bootstrap.models import listed, offered
from ragstream.bootstrap.resources import connected
from ragstream.errors import ConfigError, RagstreamError
from ragstream.settings import NamedProvider, Settings, prepare_data_dir

if TYPE_CHECKING:
    from ragstream.llm import OpenAIProvider

__all__ = ["Check", "checks"]


class Check(NamedTuple):
    """What was tried, how it went, and what there is to know or to do about it."""

    what: str
    state: Literal["ok", "note", "failed"]  # a note needs no attention
    words: str


_Part = tuple[str, Callable[[Settings, str], Awaitable[Check]]]


async def checks(settings: Settings) -> AsyncIterator[Check]:
    """Try one part after the other and say how each did."""
    parts: list[_Part] = [
        ("data folder", _data_folder),
        ("stream log", _stream_log),
        ("database", _database),
        ("documents", _documents),
    ]
    parts += [(f"provider {one.title}", partial(_named_provider, one)) for one in settings.providers]
    if not settings.providers:
        parts.append(("provider", _provider))
    for what, part in parts:
        try:
            yield await part(settings, what)
        except RagstreamError as error:
            yield Check(what, "failed", str(error))


async def _data_folder(settings: Settings, what: str) -> Check:
    folder = settings.data_dir
    if folder.exists():
        return Check(what, "ok", f"{prepare_data_dir(settings)} can be written")
    nearest = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(nearest, os.W_OK):
        raise ConfigError(f"{folder} cannot be made: {nearest} cannot be written; choose another --data-dir.")
    return Check(what, "note", f"{folder} will be made by the first start")


async def _stream_log(settings: Settings, what: str) -> Check:
    from ragstream.streamlog._lock import FolderLock

    if settings.stream_log == "memory":
        return Check(what, "note", "in memory: answers under way end with the process")
    if settings.stream_log == "redis":
        return await _redis(settings, what)
    if not (settings.data_dir / "log.db").exists():
        return Check(what, "note", "will be made by the first start")
    try:
        FolderLock(settings.data_dir).release()
    except ConfigError as held:
        return Check(what, "note", f"a server is running: {held}")
    return Check(what, "ok", "free: no server uses it")


async def _redis(settings: Settings, what: str) -> Check:
    from ragstream.bootstrap.shared_log import redis_log

    log = redis_log(settings)
    async with connected(log):
        missing = await log.missing()
    return Check(what, "failed", missing) if missing else Check(what, "ok", "Redis answers")


async def _database(settings: Settings, what: str) -> Check:
    address = settings.app_database
    if isinstance(address, Path) and not address.exists():
        return Check(what, "note", f"{address} will be made by the first start")
    from ragstream.storage.database import Database

    database = Database(address)
    try:
        await database.start()
    finally:
        await database.aclose()
    return Check(what, "ok", f"{database.name} answers")


async def _documents(settings: Settings, what: str) -> Check:
    if not (settings.data_dir / "knowledge.db").exists():
        return Check(what, "note", "none yet: give some to ragstream serve or ragstream ingest")
    from ragstream.knowledge.local import LocalKnowledge

    knowledge = LocalKnowledge(settings.data_dir)
    try:
        await knowledge.start()
        size = await knowledge.size()
    finally:
        await knowledge.aclose()
    return Check(what, "ok", f"{size.documents} documents in {size.chunks} passages")


async def _provider(settings: Settings, what: str) -> Check:
    if not (settings.openai_api_key or settings.openai_base_url or settings.model):
        return Check(what, "note", "none: answers quote the sentences of your documents")
    from ragstream.bootstrap.wiring import only_provider

    return await _answering(only_provider(settings), what)


async def _named_provider(one: NamedProvider, settings: Settings, what: str) -> Check:
    from ragstream.bootstrap.wiring import named_provider

    return await _answering(named_provider(one, settings.connect_timeout), what)


async def _answering(provider: OpenAIProvider, what: str) -> Check:
    model, models = provider.model, await offered(provider)
    some = listed(models)
    if not model:
        return Check(what, "failed", f"set RAGSTREAM_MODEL to one that {provider.name} offers: {some}")
    if model not in models:
        return Check(what, "note", f"{provider.name} answers, but does not list {model}; it offers {some}")
    return Check(what, "ok", f"{provider.name} offers {model}")
