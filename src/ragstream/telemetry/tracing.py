"""Traces, by OpenTelemetry's API. Off until somebody starts them; then steps become spans.

The API is always there and costs nothing while off; the SDK comes with ``pip install ragstream[otel]``.
"""

from __future__ import annotations

from opentelemetry import trace

from ragstream.errors import ConfigError

__all__ = ["start_tracing", "stop_tracing", "tracer"]

_tracer: trace.Tracer | None = None


def tracer() -> trace.Tracer | None:
    """Return who makes spans, or None while tracing is off."""
    return _tracer


def start_tracing(provider: trace.TracerProvider | None = None) -> None:
    """Trace from now on.

    Args:
        provider: takes the spans; None makes one that exports over OTLP as OpenTelemetry's own variables say,
            ``OTEL_EXPORTER_OTLP_ENDPOINT`` above all.

    Raises:
        ConfigError: the SDK is not installed.
    """
    global _tracer  # a process has one tracing, as it has one log
    _tracer = (provider or _exporting_provider()).get_tracer("ragstream")


def stop_tracing() -> None:
    """Make no spans from now on; whoever made the provider shuts it down."""
    global _tracer
    _tracer = None


def _exporting_provider() -> trace.TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"tracing is on, but {error.name} is missing: pip install 'ragstream[otel]', or turn tracing off"
        ) from None
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "ragstream"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
