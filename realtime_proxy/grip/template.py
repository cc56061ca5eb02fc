"""Content with %-directives: `%(name)s`, `%I`, `%%`. Bytes in, bytes out, in pieces of any size.

A directive is a `%`, perhaps an argument in parentheses, and a letter; within the argument a
backslash makes the next character a plain one (filters.md F-6.1, F-6.2).
"""

import re
from collections.abc import Callable, Mapping

import attrs

from realtime_proxy.errors import FilterError

# Far above any name or id. What is longer is held back no further.
MAX_ARGUMENT_BYTES = 10_000

_AROUND_BYTES = len(b"%()")
_FIELD = rb"%\(((?:[^\\)]++|\\.)*+)"
_DIRECTIVE = re.compile(rb"(?:" + _FIELD + rb"\)|%(?!\())(.)", re.DOTALL)
_OPEN_FIELD = re.compile(_FIELD, re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


@attrs.frozen
class Directive:
    """One of a template: its letter, its argument if it has one, and where the letter stands."""

    letter: bytes
    argument: bytes | None
    position: int

    def error(self, message: str) -> FilterError:
        """What to raise if nothing can be put in its place."""
        return FilterError(f"{message} at position {self.position}")

    def unknown(self) -> FilterError:
        """What to raise if the letter means nothing."""
        return self.error(f"Unknown directive '{_shown(self.letter)}'")


class Template:
    """Puts something in the place of each directive, in content that may come in pieces.

    `substitute` gives the bytes for a directive, or raises FilterError. What may still become a
    directive is held back.
    """

    __slots__ = ("_held", "_position", "_substitute")

    def __init__(self, substitute: Callable[[Directive], bytes]) -> None:
        self._substitute = substitute
        self._held = b""
        self._position = 0  # of what is held back

    def feed(self, data: bytes) -> bytes:
        """The next piece, as far as it is certain. Raises FilterError."""
        text = self._held + data if self._held else data
        parts: list[bytes] = []
        at = 0
        while (start := text.find(b"%", at)) >= 0:
            parts.append(text[at:start])
            match = _DIRECTIVE.match(text, start)
            if match is None:
                at = start
                break
            parts.append(self._filled(match))
            at = match.end()
        else:
            parts.append(text[at:])
            at = len(text)
        self._held = text[at:]
        self._position += at
        self._check_size(len(self._held) - _AROUND_BYTES, self._position)
        return b"".join(parts)

    def finish(self) -> None:
        """The content ends here. Raises FilterError if a directive has begun and has not ended."""
        text, start = self._held, self._position
        if not text:
            return
        last = start + len(text) - 1
        match = _OPEN_FIELD.match(text)
        if match is None:
            raise FilterError(f"Expected directive after '%' at position {start}")
        if match.end() == len(text) - 1:
            after = text[-1:].decode()
            what = "character" if after == "\\" else "directive"
            raise FilterError(f"Expected {what} after '{after}' at position {last}")
        if not match[1]:
            raise FilterError(f"Expected character after '(' at position {last}")
        raise FilterError(f"Unterminated field starting at position {start + 1}")

    def _filled(self, match: re.Match[bytes]) -> bytes:
        argument, letter = match.groups()
        if argument is None and letter == b"%":
            return b"%"
        if argument is not None:
            self._check_size(len(argument), self._position + match.start())
            argument = _ESCAPE.sub(rb"\1", argument)
        directive = Directive(letter, argument, self._position + match.end() - 1)
        if not letter.isalpha():
            raise directive.unknown()
        return self._substitute(directive)

    def _check_size(self, size: int, position: int) -> None:
        if size > MAX_ARGUMENT_BYTES:
            message = f"Field of more than {MAX_ARGUMENT_BYTES} bytes"
            raise FilterError(f"{message} starting at position {position + 1}")


def rendered(content: bytes, substitute: Callable[[Directive], bytes]) -> bytes:
    """Whole content with its directives replaced. Raises FilterError."""
    template = Template(substitute)
    result = template.feed(content)
    template.finish()
    return result


def variables(values: Mapping[str, str | None]) -> Callable[[Directive], bytes]:
    """A `substitute` for which `%(name)s` is the value of that name; None is as good as none."""

    def substitute(directive: Directive) -> bytes:
        if directive.letter != b"s":
            raise directive.unknown()
        if directive.argument is None:
            raise directive.error("Directive 's' requires argument")
        name = directive.argument.decode(errors="replace")
        value = values.get(name)
        if value is None:
            raise directive.error(f"No such variable '{name}'")
        return value.encode()

    return substitute


def _shown(letter: bytes) -> str:
    return repr(letter)[2:-1]
