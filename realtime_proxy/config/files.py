"""The files a configuration names: when one of them changes, so does the configuration."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from realtime_proxy.config.schema import Config


def named_files(config: Config, base_dir: Path) -> frozenset[Path]:
    """Keys (`file:PATH`, those of handlers too), certificates, and folders of these."""
    return frozenset(base_dir / name for name in _names(config))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("file:"):
            yield value.removeprefix("file:")
    elif isinstance(value, dict):
        yield from _all_names(value.values())
    elif isinstance(value, list | tuple):
        yield from _all_names(value)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            inner = getattr(value, field.name)
            if field.metadata.get("file") and inner:
                yield inner
            else:
                yield from _names(inner)


def _all_names(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _names(value)
