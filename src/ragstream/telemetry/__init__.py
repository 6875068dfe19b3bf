"""What is told to operators: logs, metrics, traces."""

from ragstream.telemetry.logging import LogForm, LogLevel, configure_logging, get_logger, log_line
from ragstream.telemetry.metrics import Metrics, share_metrics
from ragstream.telemetry.recording import LogLine, recorded_log
from ragstream.telemetry.tracing import start_tracing, stop_tracing, tracer

__all__ = [
    "LogForm",
    "LogLevel",
    "LogLine",
    "Metrics",
    "configure_logging",
    "get_logger",
    "log_line",
    "recorded_log",
    "share_metrics",
    "start_tracing",
    "stop_tracing",
    "tracer",
]
