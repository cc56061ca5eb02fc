"""Log set-up: one line per event, for people on a terminal or as JSON."""

import logging
import sys
from pathlib import Path
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

log = structlog.get_logger()


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
    sys.unraisablehook = _log_unraisable


def _log_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    """Log what the interpreter can raise nowhere, which it would write to standard error."""
    error = failure.exc_value
    if isinstance(error, UnicodeDecodeError) and isinstance(failure.object, bytes):
        # A TLS client named a host in no ASCII: `ssl` ends the handshake before it asks us.
        log.info("TLS client asks for an impossible name", name=repr(failure.object))
    else:
        log.error("failure ignored", where=repr(failure.object), exc_info=error)


def _open(file: str) -> TextIO:
    if not file:
        return sys.stdout
    try:
        return Path(file).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        message = f"can't write {file}: {error.strerror}"
        raise ConfigError([Problem("log.file", message)]) from error


def _renderers(format_: str, *, colors: bool) -> list[Any]:
    if format_ == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)]
