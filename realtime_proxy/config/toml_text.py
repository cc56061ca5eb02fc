"""Configuration as TOML text for people to read on: what `convert` writes."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config

WIDTH = 100
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def comment(text: str, indent: str = "") -> Iterator[str]:
    """A text as comment lines, with what could end a comment taken out."""
    # TOML allows no control characters in comments, and a line end would begin a key.
    clean = "".join(character if character.isprintable() else "?" for character in text)
    for line in textwrap.wrap(
        clean, WIDTH - 2, subsequent_indent=indent, break_on_hyphens=False
    ) or [""]:
        yield f"# {line}".rstrip()


def section(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """A table with some of its keys, in the order and with the texts of the schema."""
    cls: Any = attrs.fields_dict(Config)[name].type
    yield ""
    yield f"[{name}]"
    for field in attrs.fields(cls):
        if field.name in values and field.name != "tls":
            yield from comment(field.metadata["doc"])
            yield f"{field.name} = {value_text(values[field.name])}"
    for tls in values.get("tls", ()):
        yield ""
        yield f"[[{name}.tls]]"
        yield from (f"{key} = {value_text(value)}" for key, value in _changed(tls))


def route_text(route: Route) -> Iterator[str]:
    """A route: what makes it different, and its targets."""
    yield "[[route]]"
    keys = dict(_changed(route))
    targets = keys.pop("targets")
    for key in ("host", "path", "protocol", "tls"):
        if key in keys:
            yield f"{key} = {value_text(keys.pop(key))}"
    yield from (f"{key} = {value_text(value)}" for key, value in keys.items())
    if len(targets) == 1:
        yield f"targets = [{_target_text(targets[0])}]"
    else:
        yield "targets = ["
        yield from (f"    {_target_text(target)}," for target in targets)
        yield "]"


def value_text(value: Any) -> str:
    """A plain value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return f'"{_escaped(value)}"'
        case Mapping():
            return _inline_table(value.items())
        case _:
            return f"[{', '.join(map(value_text, value))}]"


def _inline_table(pairs: Iterable[tuple[str, Any]]) -> str:
    written = (f"{_key_text(key)} = {value_text(value)}" for key, value in pairs)
    return f"{{ {', '.join(written)} }}"


def _key_text(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else value_text(key)


def _target_text(target: Target) -> str:
    return _inline_table(_changed(target))


def _changed(value: Any) -> Iterable[tuple[str, Any]]:
    """The keys that are not at their defaults."""
    for field in attrs.fields(type(value)):
        current = getattr(value, field.name)
        if current != field.default:
            yield field.name, current


def _escaped(text: str) -> str:
    return "".join(
        _ESCAPES.get(character)
        or (character if character.isprintable() else f"\\U{ord(character):08X}")
        for character in text
    )
