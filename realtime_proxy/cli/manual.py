"""The manual's page about the configuration, made from the schema.

`python -m realtime_proxy.cli.manual > docs/configuration.md` renews it; a test holds the page to
the schema.
"""

import types
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import attrs
import click

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.config.toml_text import value_text

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m realtime_proxy.cli.manual`. Change the schema instead:
realtime_proxy/config/schema.py, and the *_section.py beside it -->

One TOML file has the whole configuration. `realtime-proxy run` reads `./routes.toml`, or the file
that `--config` names; `realtime-proxy check` names every problem of it at once. Unknown keys are
errors. Relative paths begin at the folder of the file. The example to start from is `routes.toml`
in the repository.

**Secrets** (`key`, `upstream_key`) are the text itself, or say where it is:

| written | means |
|---|---|
| `env:NAME` | the environment variable NAME, as it is |
| `file:PATH` | the content of a file; of a text, without the line end at its end |
| `base64:TEXT` | the decoded bytes |

A PEM text, in place or in a file, is a key for ES256 (EC) or RS256 (RSA): the private one to sign
with, the public one for `upstream_key`. Anything else is a shared secret (HS256), which should have
32 bytes or more.

**Routes.** A request goes to the best route that fits it, wherever that is in the file. If any
route names the request's host, only those count; else those with `host = "*"`. Of these, one with a
`protocol` goes before one without, then the longest `path`, then one with `tls` before one without.
Nothing fits: 502."""

_KINDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
}


def manual() -> str:
    """The page, as Markdown."""
    lines = [_INTRODUCTION]
    for field in attrs.fields(Config):
        kind: Any = field.type
        if attrs.has(kind):
            lines += _section(f"`[{field.name}]`", kind)
        if kind is Server:
            lines += _section("`[[server.tls]]`", Tls)
    lines += ["", "## `[handler.NAME]`", "", attrs.fields(Config).handler.metadata["doc"]]
    lines += ["They are described in `docs/handlers.md`. Routes name them in `handlers`."]
    lines += _section("`[[route]]`", Route)
    lines += _section("An element of `targets`", Target)
    return "\n".join(lines) + "\n"


def _section(title: str, cls: Any) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| key | kind | default | |", "|---|---|---|---|")
    for field in attrs.fields(cls):
        default = "required" if field.default is attrs.NOTHING else _default(field.default)
        text = field.metadata["doc"].replace("|", "\\|")
        text += " A change needs a restart." if field.metadata.get("restart") else ""
        yield f"| `{field.name}` | {_kind(field.type)} | {default} | {text} |"


def _default(value: Any) -> str:
    return "" if value in ("", (), {}, None) else f"`{value_text(value)}`"


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        element = get_args(annotation)[0]
        return "tables" if attrs.has(element) else f"list of {_kind(element)}"
    if get_origin(annotation) is Mapping:
        return f"table of {_kind(get_args(annotation)[1])}"
    if isinstance(annotation, types.UnionType):
        return _kind(get_args(annotation)[0])
    return _KINDS[annotation]


if __name__ == "__main__":
    click.echo(manual(), nl=False)
