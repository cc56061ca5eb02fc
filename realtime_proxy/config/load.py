"""The configuration file: TOML text to `Config`, or every problem with it at once."""

import re
import tomllib
from pathlib import Path
from typing import Any

from realtime_proxy.config.conflicts import find_conflicts
from realtime_proxy.config.schema import Config
from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError, Problem

# What begins the parts of Pushpin's configuration, and nothing in ours.
_OF_PUSHPIN = re.compile(r"^\[(?:global|runner|proxy|handler)\]\s*$", re.MULTILINE)
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|(end of document))\)$")


def load_config(path: Path | str) -> Config:
    """The configuration in a file. `ConfigError` has everything that is wrong with it."""
    file = Path(path)
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise ConfigError([Problem("", f"can't be read: {error.strerror}")], str(file)) from error
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
        raise ConfigError([Problem("", message)], str(file)) from error
    return load_text(text, str(file))


def load_text(text: str, file: str | None = None) -> Config:
    """The configuration in a text; `file` is where it came from, and where relative paths begin."""
    table = _parse(text, file)
    base_dir = Path(file).parent if file else Path()
    problems: list[Problem] = []
    config = None
    try:
        config = structure(table, Config)
    except ConfigError as error:
        problems += error.problems
    problems += find_conflicts(table, base_dir)
    if config is None or problems:
        raise ConfigError(problems, file)
    return config


def _parse(text: str, file: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError([Problem("", "is nested too deeply")], file) from error
    except ValueError as error:  # TOMLDecodeError is one; a number of 5,000 digits is another
        problems = [_syntax_problem(str(error))]
        if _OF_PUSHPIN.search(text):
            hint = (
                f"this looks like Pushpin's; `realtime-proxy convert {file or 'FILE'}` makes ours"
            )
            problems.append(Problem("", hint))
        raise ConfigError(problems, file) from error


def _syntax_problem(message: str) -> Problem:
    place = _PLACE.search(message)
    if place is None:
        return Problem("", message)
    line, column, _ = place.groups()
    where = f"line {line}, column {column}" if line else "end of file"
    return Problem(where, message[: place.start()])
