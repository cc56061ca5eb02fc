"""Log lines as Pushpin writes them, which dashboards and scripts of its users read."""

from collections.abc import Callable
from datetime import datetime

from structlog.typing import EventDict, WrappedLogger

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERR", "critical": "ERR"}


def pushpin_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`[LEVEL] YYYY-MM-DD HH:MM:SS.mmm [service] TEXT`, in local time; the last processor."""
    event.pop("timestamp", None)
    level = _LEVELS[event.pop("level")]
    name = event.pop("event")
    exception = event.pop("exception", "")
    service, write = _WRITERS.get(name, ("[proxy] ", None))
    text = _any_text(name, event) if write is None else write(event)
    now = datetime.now().isoformat(" ", "milliseconds")  # noqa: DTZ005  local, as Pushpin's
    line = f"[{level}] {now} {service}{_on_one_line(text)}"
    return f"{line}\n{exception}" if exception else line


def _request(event: EventDict) -> str:
    """`METHOD URL[ -> TARGET[[http]]][ from=IP][ ref=URL][ route=ID] RESULT…`."""
    uri = event["uri"]
    parts = [event["method"], uri]
    if backend := event.get("backend"):
        parts += ("->", f"{backend}[http]" if uri.startswith("ws") else backend)
    parts += (
        f"{word}={event[key]}"
        for word, key in (("from", "client"), ("ref", "referer"), ("route", "route"))
        if key in event
    )
    status = event.get("status")
    parts.append(event["result"] if status is None else f"code={status} {event['bytes']}")
    if "retry" in event:
        parts.append("retry")
    if "user_agent" in event:
        parts.append(f"ua={event['user_agent']}")
    parts += (f"#{channel}={last_id}" for channel, last_id in event.get("last_ids", {}).items())
    return " ".join(parts)


def _subscribe(event: EventDict) -> str:
    retry = " retry" if "retry" in event else ""
    return f"subscribe {event['uri']} channel={event['channel']}{retry}"


def _publish(event: EventDict) -> str:
    return f"publish channel={event['channel']} receivers={event['receivers']}"


def _control(event: EventDict) -> str:
    return f"control: {event['method']} {event['path']} code={event['status']} {event['bytes']}"


def _item_skipped(event: EventDict) -> str:
    way, problem = event.get("input", ""), event.get("problem", "")
    if way.startswith("zmq "):
        return f"IN {way.removeprefix('zmq ')}: {problem}"
    return _any_text("item skipped", event)


def _any_text(name: str, event: EventDict) -> str:
    return " ".join((name, *(f"{key}={value}" for key, value in event.items())))


def _said(text: str) -> Callable[[EventDict], str]:
    return lambda _event: text


# By event: the service that says it in Pushpin (none for its launcher), and the text.
_Writer = Callable[[EventDict], str]
_WRITERS: dict[str, tuple[str, _Writer | None]] = {
    "request": ("[proxy] ", _request),
    "subscribe": ("[handler] ", _subscribe),
    "publish": ("[handler] ", _publish),
    "control": ("[handler] ", _control),
    "item skipped": ("[handler] ", _item_skipped),
    "item failed": ("[handler] ", None),
    "configuration changed, reloading": ("[proxy] ", _said("routes file changed, reloading")),
    "starting": ("", _said("starting...")),
    "serving": ("", _said("started")),
    "stopping": ("", _said("stopping...")),
    "stopped": ("", _said("stopped")),
}


def _on_one_line(text: str) -> str:
    """What somebody else wrote must not begin a line that looks like ours."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
