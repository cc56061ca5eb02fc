"""Log set-up: one line per event, for people on a terminal or as JSON."""

import logging
import sys
from typing import Any, TextIO

import structlog

from realtime_proxy.config.schema import Log
from realtime_proxy.errors import ConfigError, Problem

_LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


def set_up_logs(settings: Log) -> None:
    """Write logs as the configuration says. Raises ConfigError when the file can't be opened."""
    out = _open(settings.file)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            *_renderers(settings.format, colors=out.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )


def _open(file: str) -> TextIO:
    if not file:
        return sys.stdout
    try:
        return open(file, "a", encoding="utf-8", buffering=1)
    except OSError as error:
        message = f"can't write {file}: {error.strerror}"
        raise ConfigError([Problem("log.file", message)]) from error


def _renderers(format_: str, *, colors: bool) -> list[Any]:
    if format_ == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)]
