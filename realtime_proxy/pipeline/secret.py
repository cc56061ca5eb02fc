"""Secrets in the settings of handlers: the file says where to find them, the handler gets them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import attrs

from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.config.structure import add_type
from realtime_proxy.errors import ConfigError, Problem

_base_dir: ContextVar[Path] = ContextVar("base_dir")


@attrs.frozen
class Secret:
    """A value that shows in no log or error; a type for the fields of a handler's `Config`.

    It is written `env:NAME`, `file:PATH`, `base64:TEXT`, or as it is.
    """

    value: bytes = attrs.field(repr=False)


@contextmanager
def files_relative_to(base_dir: Path) -> Iterator[None]:
    """Within it, `file:PATH` of secrets that are read starts at this folder."""
    token = _base_dir.set(base_dir)
    try:
        yield
    finally:
        _base_dir.reset(token)


def _structure_secret(written: Any, _: Any) -> Secret:
    if type(written) is not str:
        raise ConfigError([Problem("", "must be text in quotes")])
    value = resolve_secret(written, _base_dir.get())
    if not value:
        raise ConfigError([Problem("", "is empty; a secret must not be")])
    return Secret(value)


add_type(Secret, _structure_secret)
