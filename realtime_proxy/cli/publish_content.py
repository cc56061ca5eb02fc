"""Where the content of an item comes from: the command line, a file, or standard input."""

import os
import sys
from pathlib import Path

import attrs

from realtime_proxy.cli.publish_arguments import Arguments
from realtime_proxy.errors import PublishError

_STANDARD_INPUT = "-"


@attrs.frozen
class Content:
    """The bytes to publish. `is_literal`: they stood on the command line."""

    data: bytes
    is_literal: bool


def has_content(arguments: Arguments) -> bool:
    """True if the command line says where content is to be found."""
    return arguments.content is not None or arguments.file is not None


def read_content(arguments: Arguments) -> Content:
    """The content that the command line gives or names. Raises PublishError if it can't be read."""
    if arguments.file is not None:
        return Content(_read(arguments.file), is_literal=False)
    text = arguments.content or ""
    if text == _STANDARD_INPUT:
        return Content(_read(text), is_literal=False)
    if text.startswith("@"):
        return Content(_read_file(text.removeprefix("@")), is_literal=False)
    return Content(_as_typed(text), is_literal=True)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == _STANDARD_INPUT else _read_file(name)


def _read_file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such name"
        raise PublishError(f"can't read file {name}: {reason}") from error


def _as_typed(text: str) -> bytes:
    """The bytes of an argument. Those that are no text come from the system as surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
