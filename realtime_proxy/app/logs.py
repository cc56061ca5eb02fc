"""Log set-up: one line per event, for people on a terminal, as JSON, or in Pushpin's form.

Loggers are made once and kept by whoever uses them, so that a line that is not wanted costs next
to nothing. What they are made of is therefore changed in place when the set-up changes.
"""

import logging
import sys
from collections import UserString
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from realtime_proxy.app.log_flood import FLOOD
from realtime_proxy.app.pushpin_lines import pushpin_line
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
    """Write logs as the configuration says, from now on, with the file opened anew.

    Raises ConfigError when the file can't be opened; then all stays as it was.
    """
    _output.turn_to(settings.file)
    _set_level(settings.level)
    FLOOD.most = settings.max_repeats_per_second
    _processors[:] = (
        FLOOD,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=False),
        *_renderers(settings.format, colors=_output.stream.isatty()),
    )
    structlog.configure(
        processors=_processors,
        wrapper_class=_Logger,
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _output)),
        cache_logger_on_first_use=True,
    )
    sys.unraisablehook = _log_unraisable


def reopen_log(settings: Log) -> None:
    """Begin a new file if the old one was moved away, as logrotate does."""
    try:
        set_up_logs(settings)
    except ConfigError as error:
        log.error("log file not reopened", problem=str(error))


class _Output:
    """Where lines go: standard output, or a file that may be another one tomorrow."""

    def __init__(self) -> None:
        self.stream = sys.stdout
        self._opened: TextIO | None = None

    def turn_to(self, file: str) -> None:
        """Write there from now on. Raises ConfigError, and goes on as before."""
        before, opened = self._opened, _open(file) if file else None
        self._opened, self.stream = opened, opened or sys.stdout
        if before is not None:
            before.close()

    def write(self, text: str) -> None:
        self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


class _Logger(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]
    """What every logger is made of."""


_output = _Output()
_processors: list[Any] = []


def _set_level(name: str) -> None:
    """Give all loggers, those in use as well, the methods of a level."""
    for method, does in vars(structlog.make_filtering_bound_logger(_LEVELS[name])).items():
        if not method.startswith("__"):
            setattr(_Logger, method, does)


def _log_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    """Log what the interpreter can raise nowhere, which it would write to standard error."""
    error = failure.exc_value
    if isinstance(error, UnicodeDecodeError) and isinstance(failure.object, bytes):
        # A TLS client named a host in no ASCII: `ssl` ends the handshake before it asks us.
        log.info("TLS client asks for an impossible name", name=repr(failure.object))
    else:
        log.error("failure ignored", where=repr(failure.object), exc_info=error)


def _open(file: str) -> TextIO:
    try:
        return Path(file).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        message = f"can't write {file}: {error.strerror}"
        raise ConfigError([Problem("log.file", message)]) from error


def _renderers(format_: str, *, colors: bool) -> list[Any]:
    if format_ == "pushpin":
        return [structlog.processors.format_exc_info, pushpin_line]
    # Where it was that something failed, but no variables: tokens, keys and bodies are among them.
    if format_ == "json":
        told = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(told), structlog.processors.JSONRenderer()]
    shown = structlog.dev.RichTracebackFormatter("auto" if colors else None, show_locals=False)
    console = structlog.dev.ConsoleRenderer(
        colors=colors, sort_keys=False, exception_formatter=shown
    )
    return [_quote_what_is_hidden, console]


def _quote_what_is_hidden(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Have values with control characters escaped: terminals obey those, whoever wrote them."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _Quoted(value)
    return event


class _Quoted(UserString):
    """A text of which the console renderer writes the `repr`, as it does with what is no `str`."""
