"""Connections as lines of text: for a terminal, and for other programs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

Connection = dict[str, Any]

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@attrs.frozen
class Column:
    """One thing that is told of each; numbers stand at the right."""

    title: str
    text: Callable[[Connection], str]
    is_number: bool = False


def age(seconds: float) -> str:
    """A time as people say it: `42s`, `12m05s`, `3h20m`, `5d02h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02}h"


def amount(count: int | None) -> str:
    """A number in three digits or so: `999`, `1.2k`, `34M`; a dash if it is not known."""
    if count is None:
        return "-"
    for size, unit in _UNITS:
        if count >= size:
            scaled = count / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return str(count)


def printable(text: str) -> str:
    """A text without what a terminal would act on: names of channels may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


COLUMNS: Sequence[Column] = (
    Column("KIND", lambda one: one["kind"]),
    Column("ROUTE", lambda one: printable(one["route"])),
    Column("CLIENT", lambda one: one["client_address"] or "-"),
    Column("CONSUMER", lambda one: printable(one["consumer"] or "-")),
    Column("CHANNELS", lambda one: printable(",".join(one["channels"]) or "-")),
    Column("AGE", lambda one: age(one["age_seconds"]), is_number=True),
    Column("SENT", lambda one: amount(one["bytes_sent"]), is_number=True),
    Column("MESSAGES", lambda one: amount(one["messages_sent"]), is_number=True),
    Column("BACKLOG", lambda one: amount(one["backlog_bytes"]), is_number=True),
    Column("WORKER", lambda one: str(one["worker"]), is_number=True),
    Column("ID", lambda one: printable(one["id"])),
    Column("URI", lambda one: printable(one["uri"])),
)

SORTS: dict[str, Callable[[Connection], float]] = {
    "age": lambda one: one["age_seconds"],
    "bytes": lambda one: one["bytes_sent"] or 0,
    "messages": lambda one: one["messages_sent"],
    "backlog": lambda one: one["backlog_bytes"],
}


def in_order(connections: Iterable[Connection], sort: str) -> list[Connection]:
    """The most of it first."""
    return sorted(connections, key=SORTS[sort], reverse=True)


def plain_lines(connections: Sequence[Connection]) -> list[str]:
    """A line for each below the titles, in columns as wide as they have to be."""
    cells = [[column.text(one) for column in COLUMNS] for one in connections]
    titles = [column.title for column in COLUMNS]
    widths = [max(map(len, texts)) for texts in zip(titles, *cells, strict=True)]
    return [_line(texts, widths) for texts in (titles, *cells)]


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        text.rjust(width) if column.is_number else text.ljust(width)
        for text, width, column in zip(texts, widths, COLUMNS, strict=True)
    )
    return "  ".join(padded).rstrip()
