"""One line of a Pushpin routes file: blanks, commas, quotes and comments. No meaning yet."""

from typing import Self

import attrs


class LineError(Exception):
    """A line, or something on it, that Pushpin would skip with this text in its log."""


@attrs.frozen
class Word:
    """A condition or a target: what comes first, and the options after it in their order."""

    head: str | None
    options: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, parts: list[str]) -> Self:
        """The word made of its comma-separated parts."""
        head = None if "=" in parts[0] else parts[0]
        options = []
        for part in parts if head is None else parts[1:]:
            name, _, value = part.partition("=")
            if not name:
                raise LineError("empty prop name" if part else "expecting prop")
            options.append((name, value))
        return cls(head, tuple(options))

    def get(self, name: str) -> str | None:
        """The value of an option, the last one if there are several; None if it is not there."""
        return dict(self.options).get(name)

    def get_all(self, name: str) -> list[str]:
        """All values of an option."""
        return [value for key, value in self.options if key == name]


def split_line(line: str) -> list[Word]:
    """The words of a line; none if it is empty or a comment."""
    return [Word.of(parts) for parts in _split(line)]


def _split(line: str) -> list[list[str]]:
    """The comma-separated parts of each word, with quotes and escapes taken off."""
    words: list[list[str]] = []
    parts: list[str] | None = None  # of the word being read; None between words
    quoted = False
    characters = iter(line)
    for character in characters:
        if not quoted and character == "#":
            break
        if not quoted and character.isspace():
            words += [parts] if parts is not None else []
            parts = None
            continue
        parts = [""] if parts is None else parts
        if character == '"':
            quoted = not quoted
        elif quoted and character == "\\":
            parts[-1] += _escaped(next(characters, ""))
        elif not quoted and character == ",":
            parts.append("")
        else:
            parts[-1] += character
    if quoted:
        raise LineError("unterminated quoted section")
    return words if parts is None else [*words, parts]


def _escaped(character: str) -> str:
    if not character:
        raise LineError("unterminated escape sequence")
    if character not in '\\"':
        raise LineError(f"unexpected escape character: {character}")
    return character
