"""A page that a reader follows step by step, as steps that can be taken for him.

Its fenced blocks, in their order:

- `sh` is typed into a terminal, the only one or that of ```` ```sh terminal=NAME ````;
- `text`, `http` or `json` behind it is what that terminal then shows (`terminal=NAME`, too). `…`
  stands for anything within a line, and alone on a line for any lines. What follows `> ` is typed
  into the program that runs there;
- others whose first line is a comment with a file's name are files; `# added to NAME` is put at
  the end of one that is there.
"""

import re
from collections.abc import Iterator

import attrs

DEFAULT_TERMINAL = "1"
_BLOCK = re.compile(r"^```(\w+)(?: terminal=(\w+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:#|//) (added to )?([\w.-]+\.\w+)$")
_SHOWN = {"text", "http", "json"}
_TYPED = "> "
_ANY_LINES = "(?:[^\n]*\n)*?"


@attrs.frozen
class File:
    """A file that is written."""

    name: str
    content: str
    is_added: bool


@attrs.frozen
class Command:
    """What is typed into a terminal. What it shows is looked at if `is_shown`."""

    terminal: str
    script: str
    is_shown: bool


@attrs.frozen
class Transcript:
    """What a terminal shows. `parts` are expected texts, with what is typed between them."""

    terminal: str
    parts: tuple["Expected | Typed", ...]


@attrs.frozen
class Typed:
    """A line typed into a running program."""

    line: str


@attrs.frozen
class Expected:
    """What is to be seen; `pattern` is for text whose lines all end with a line end."""

    text: str

    @property
    def pattern(self) -> str:
        """A regular expression that fits it."""
        return "".join(map(_line_pattern, self.text.splitlines()))


Step = File | Command | Transcript


def steps_of(page: str) -> list[Step]:
    """The steps of a page, a text in Markdown. Blocks that are no step are left out."""
    blocks = list(_BLOCK.findall(page))
    found: list[Step] = []
    for i, (language, terminal, body) in enumerate(blocks):
        name = terminal or DEFAULT_TERMINAL
        if language == "sh":
            following = blocks[i + 1][:2] if i + 1 < len(blocks) else ("", "")
            is_shown = following[0] in _SHOWN and (following[1] or DEFAULT_TERMINAL) == name
            found.append(Command(name, body, is_shown))
        elif language in _SHOWN:
            found.append(Transcript(name, tuple(_parts(body))))
        elif named := _FILE.match(body.partition("\n")[0]):
            found.append(File(named[2], body, bool(named[1])))
    return found


def _parts(body: str) -> Iterator[Expected | Typed]:
    shown = ""
    for line in body.splitlines(keepends=True):
        if line.startswith(_TYPED):
            if shown:
                yield Expected(shown)
            yield Typed(line.removeprefix(_TYPED).rstrip("\n"))
            shown = ""
        else:
            shown += line
    if shown:
        yield Expected(shown)


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return _ANY_LINES
    return "[^\n]*".join(map(re.escape, line.rstrip().split("…"))) + "[ \t]*\n"
