"""The INI form of `pushpin.conf`: sections, values, and how values are quoted.

Text is taken literally where that is possible. What Pushpin's own reader does to unquoted commas,
semicolons and backslashes is not repeated: people write keys that have them.
"""

import re

# A `;` within a word is text (keys may have them); after a blank it begins a comment.
_INLINE_COMMENT = re.compile(r'((?:"(?:\\.|[^"\\])*"|[^"])*?)\s;.*')
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"')
_ITEM = re.compile(r'\s*((?:"(?:\\.|[^"\\])*"|[^,])*)(?:,|$)')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,4}|.)")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

Sections = dict[str, dict[str, str]]


def read_ini(text: str) -> Sections:
    """The sections of a file and their values, still as they are written."""
    sections: Sections = {}
    section: dict[str, str] = {}
    for written in text.removeprefix("\ufeff").split("\n"):
        line = written.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and "]" in line:
            section = sections.setdefault(line[1 : line.index("]")].strip(), {})
            continue
        key, _, value = line.partition("=")
        comment = _INLINE_COMMENT.fullmatch(value)
        section[key.strip()] = (comment[1] if comment else value).strip()
    return sections


def text_of(value: str) -> str:
    """A value as one text: what is in the quotes, or all of it as it is."""
    quoted = _QUOTED.fullmatch(value)
    return _ESCAPE.sub(_unescape, quoted[1]) if quoted else value


def items_of(value: str) -> list[str]:
    """A value as a list: parted by commas that are not within quotes, without empty ones."""
    items = (text_of(item.strip()) for item in _ITEM.findall(value))
    return [item for item in items if item]


def is_ambiguous(value: str) -> bool:
    """True if Pushpin may have read an unquoted value differently from how it looks."""
    return not _QUOTED.fullmatch(value) and bool(set(value) & set(',;\\"'))


def _unescape(escape: re.Match[str]) -> str:
    what = escape[1]
    if len(what) > 1:
        return chr(int(what[1:], 16))
    return _CONTROL.get(what, what)
