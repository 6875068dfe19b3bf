"""From settings to concrete parts: the one module that names them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from starlette.datastructures import Headers

from ragstream.answer import AnswerSettings, ExtractiveAnswerer
from ragstream.answer.kit import FollowUps
from ragstream.api.parts import About, ApiSettings
from ragstream.bootstrap.binding import bind_blueprint
from ragstream.bootstrap.resources import connected, locked, opened, posting, reading, started, talking
from ragstream.bootstrap.service import Parts, Service
from ragstream.bootstrap.shared_log import redis_log
from ragstream.bootstrap.stores import Stores, database_stores, memory_stores
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ConfigError
from ragstream.feeds import Board, FeedsKit, Ingest, IngestStatus, Progress
from ragstream.identity.base import Authenticator
from ragstream.identity.hosts import LOOPBACK, Hosts
from ragstream.identity.keys import ApiKeys
from ragstream.identity.local import LocalMode
from ragstream.knowledge._jobs import Limits
from ragstream.knowledge.local import LocalKnowledge
from ragstream.knowledge.parsing import SubprocessParser
from ragstream.llm import Caller, LLMClient, Observer, OpenAIProvider, Price, Provider, RetryPolicy, Timeouts
from ragstream.llm.metrics import PrometheusObserver
from ragstream.settings import NamedProvider, Settings, look_up, prepare_data_dir
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog
from ragstream.telemetry import Metrics, tracer

__all__ = ["desk", "guard", "library", "named_provider", "only_provider", "server", "worker"]

_CLAIM_PATIENCE = 12.0  # seconds: a little more than another process may take to open a log
_LOST_AFTER = 6.0  # seconds: some beats, within which another process makes a log anew that Redis forgot


def server(settings: Settings, paths: Sequence[Path]) -> Service:
    """Return the service behind ``ragstream serve``: durable stores, HTTP, and ``paths`` read meanwhile.

    With several workers it is the parent's, which migrates, reads and settles, and tells the workers how far
    the reading has come.

    Raises:
        ConfigError: a setting does not fit what is there.
    """
    log, stores = _log(settings), _stores(settings)
    ingest, documents = library(settings)
    kept: list[AbstractAsyncContextManager[None]] = [_log_kept(settings, log), stores.opened, documents]
    if settings.stream_log == "redis":
        kept.insert(0, locked(settings.data_dir))
    kept.append(reading(ingest, paths))
    if settings.workers > 1:
        kept.append(posting(ingest, _board(settings), expected=bool(paths)))
    return Service(_parts(settings, log, stores, ingest, kept))


def worker(settings: Settings) -> Service:
    """Return the service of one worker of several: it answers, and leaves the rest to its parent.

    Raises:
        ConfigError: a setting does not fit what is there.
    """
    log, stores = _log(settings), _stores(settings, migrating=False)
    ingest, documents = library(settings, told=_board(settings).read)
    kept = [_log_kept(settings, log), stores.opened, documents]
    return Service(_parts(settings, log, stores, ingest, kept, settles=False))


def _parts(
    settings: Settings,
    log: StreamLog,
    stores: Stores,
    ingest: Ingest,
    kept: Sequence[AbstractAsyncContextManager[None]],
    *,
    settles: bool = True,
) -> Parts:
    metrics = Metrics()
    caller = _caller(settings, metrics, ingest)
    return Parts(
        log=log,
        stores=stores,
        caller=caller,
        retriever=ingest.knowledge,
        authenticator=_authenticator(settings),
        guard=guard(settings.hosts, settings.cors_origins),
        about=_about(settings, caller),
        metrics=metrics,
        library=ingest,
        resources=(*kept, talking(caller.providers)),
        provider_options=frozenset(settings.provider_options),
        deadline=settings.answer_deadline,
        settles=settles,
        checks=tuple(_checks(log)),
        api=ApiSettings(cors_origins=settings.cors_origins, upload_max=settings.upload_max_bytes, web=_web()),
        answers=_answers(settings),
        delivery=_delivery(settings),
    )


def desk(settings: Settings, *, progress: Progress | None = None) -> Service:
    """Return the service behind ``ragstream ask``: it answers from the data folder and stores nothing."""
    log, metrics = MemoryLog(), Metrics()
    ingest, documents = library(settings, progress=progress)
    caller = _caller(settings, metrics, ingest)
    return Service(
        Parts(
            log=log,
            stores=memory_stores(),
            caller=caller,
            retriever=ingest.knowledge,
            authenticator=LocalMode(),
            guard=guard(LOOPBACK),
            about=_about(settings, caller),
            metrics=metrics,
            library=ingest,
            resources=(started(log), documents, talking(caller.providers)),
            deadline=settings.answer_deadline,
            answers=_answers(settings),
        )
    )


def library(
    settings: Settings,
    *,
    progress: Progress | None = None,
    told: Callable[[], IngestStatus] = IngestStatus,
) -> tuple[Ingest, AbstractAsyncContextManager[None]]:
    """Return the documents of the data folder with what reads them, and what keeps both open."""
    prepare_data_dir(settings)
    parser = SubprocessParser(limits=Limits(size=settings.upload_max_bytes))
    knowledge = LocalKnowledge(settings.data_dir)
    kit = FeedsKit(parser=parser, library=knowledge)
    ingest = Ingest(bind_blueprint().lane("feeds"), kit, progress=progress, told=told)
    return ingest, opened(knowledge, parser)


def guard(allowed: Sequence[str], origins: Sequence[str] = ()) -> Callable[[Headers], None]:
    """Return what refuses requests for other hosts and from foreign pages."""
    hosts = Hosts(allowed, origins)

    def check(headers: Headers) -> None:
        hosts.check(headers.getlist("host"), headers.getlist("origin"))

    return check


def _board(settings: Settings) -> Board:
    return Board(settings.data_dir / "ingest.json")


def _stores(settings: Settings, *, migrating: bool = True) -> Stores:
    return database_stores(
        settings.app_database,
        synchronous=settings.sqlite_synchronous,
        keep_keys=settings.retention_hours * 3600,
        migrating=migrating,
    )


def _log_kept(settings: Settings, log: StreamLog) -> AbstractAsyncContextManager[None]:
    return connected(log) if settings.stream_log == "redis" else started(log)


def _checks(log: StreamLog) -> Iterator[Callable[[], Awaitable[str | None]]]:
    if (missing := getattr(log, "missing", None)) is not None:
        yield missing


def _log(settings: Settings) -> StreamLog:
    if settings.stream_log == "redis":
        return redis_log(settings)
    if settings.stream_log == "memory":
        return MemoryLog(
            max_bytes=settings.answer_max_bytes,
            retention=settings.retention_hours * 3600,
            total_bytes=settings.log_max_bytes,
        )
    return SQLiteLog(
        settings.data_dir / "log.db",
        max_bytes=settings.answer_max_bytes,
        retention=settings.retention_hours * 3600,
        total_bytes=settings.log_max_bytes,
        window=settings.commit_window_ms / 1000,
        synchronous=settings.sqlite_synchronous,
    )


def _caller(settings: Settings, metrics: Metrics, ingest: Ingest) -> Caller:
    timeouts = Timeouts(
        first_token=settings.first_token_timeout,
        between_tokens=settings.token_timeout,
        total=settings.answer_deadline,
    )
    return LLMClient(
        providers=_providers(settings, ingest),
        policy=RetryPolicy(after_delta=settings.after_delta),
        timeouts=timeouts,
        prices=dict(_prices(settings.providers)),
        budget=settings.budget,
        observers=_observers(metrics),
    )


def _observers(metrics: Metrics) -> Iterator[Observer]:
    yield PrometheusObserver(metrics.registry)
    if (spans := tracer()) is not None:
        from ragstream.llm.otel import GenAIObserver

        yield GenAIObserver(tracer=spans)


def _providers(settings: Settings, ingest: Ingest) -> list[Provider]:
    if settings.providers:
        return [named_provider(one, settings.connect_timeout) for one in settings.providers]
    if not settings.model:
        return [ExtractiveAnswerer(is_reading=lambda: ingest.status().running)]
    return [only_provider(settings)]


def only_provider(settings: Settings) -> OpenAIProvider:
    """Return the provider of OPENAI_API_KEY, OPENAI_BASE_URL and RAGSTREAM_MODEL.

    Raises:
        ConfigError: what they hold cannot be an address or a key.
    """
    key = settings.openai_api_key
    return OpenAIProvider(
        settings.model,
        api_key=key.get_secret_value() if key else None,
        base_url=settings.openai_base_url,
        connect_timeout=settings.connect_timeout,
    )


def named_provider(one: NamedProvider, connect_timeout: float) -> OpenAIProvider:
    """Return a provider of RAGSTREAM_PROVIDERS.

    Raises:
        ConfigError: the variable that shall have its key is not set.
    """
    key = one.api_key.get_secret_value() if one.api_key else None
    if one.api_key_env and not (key := look_up(one.api_key_env)):
        raise ConfigError(f"RAGSTREAM_PROVIDERS: {one.title} takes its key from {one.api_key_env}: set that.")
    return OpenAIProvider(
        one.model,
        api_key=key,
        base_url=one.base_url,
        name=one.title,
        connect_timeout=connect_timeout,
        takes=one.takes,
    )


def _prices(providers: Sequence[NamedProvider]) -> Iterator[tuple[str, Price]]:
    for one in providers:
        if one.input_price is not None and one.output_price is not None:
            price = Price(prompt=one.input_price, completion=one.output_price, cached=one.cached_price)
            yield f"{one.title}/{one.model}", price


def _authenticator(settings: Settings) -> Authenticator:
    if settings.local:
        return LocalMode()
    return ApiKeys((name, key.get_secret_value()) for name, key in settings.api_keys)


def _answers(settings: Settings) -> AnswerSettings:
    return AnswerSettings(
        system_prompt=settings.prompt,
        retrieval_limit=settings.retrieval_limit,
        context_budget=settings.context_budget,
        follow_ups=_follow_ups(settings),
        search_tool=settings.has_model and "search_tool" in settings.features,
    )


def _follow_ups(settings: Settings) -> FollowUps:
    if "follow_ups" not in settings.features:
        return "off"
    return "model" if settings.has_model and "follow_up_rewrite" in settings.features else "terms"


def _delivery(settings: Settings) -> DeliverySettings:
    return DeliverySettings(
        heartbeat=settings.heartbeat,
        retry=settings.retry_ms,
        head_hold=settings.head_hold_ms / 1000,
        write_deadline=settings.write_deadline,
        body_deadline=settings.body_deadline,
        max_body=settings.max_body_bytes,
        compression=settings.compression == "gzip",
        max_answers=settings.max_answers,
        max_answers_per_owner=None if settings.local else settings.max_answers_per_owner,
        max_readers=settings.max_readers,
        max_readers_per_stream=settings.max_readers_per_stream,
        patience=settings.patience,
        rotate_after=settings.rotate_after,
        claim_patience=_CLAIM_PATIENCE if settings.stream_log == "redis" else 0.0,  # else it died
        lost_after=_LOST_AFTER if settings.stream_log == "redis" else 0.0,
        headers=settings.headers,
    )


def _about(settings: Settings, caller: Caller) -> About:
    return About(
        version=version("ragstream"),
        model=caller.model,
        samples=settings.sample_questions,
        auth_required=not settings.local,
    )


def _web() -> Path:
    return Path(str(resources.files("ragstream").joinpath("web")))
