"""The settings of a `pushpin.conf`: one value at a time, with everything filled in.

Knows which settings were asked for, so that the others can be named, and keeps a note of each that
makes no sense.
"""

import re
from pathlib import Path
from typing import Self

import attrs

from realtime_proxy.config.pushpin_ini import Sections, is_ambiguous, items_of, read_ini, text_of
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.errors import ConfigError, Problem

_TCP = re.compile(r"(tcp://(?:\[[^\]]*\]|[^:,\s]*):)(\d{1,5})")
_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)


@attrs.define
class Settings:
    """The values of a `pushpin.conf` and the file it includes."""

    file: Path
    sections: Sections
    notes: list[Note] = attrs.field(factory=list)
    _asked: set[tuple[str, str]] = attrs.field(factory=set)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The settings in a file. `ConfigError` if it can't be read."""
        file = file.absolute()
        settings = cls(file, {})
        settings.sections = read_ini(settings.read_text(file))
        settings._include()
        return settings

    def read_text(self, file: Path) -> str:
        """The text of a file; what is not UTF-8 in it is replaced and noted."""
        try:
            data = file.read_bytes()
        except OSError as error:
            problem = Problem("", f"can't be read: {error.strerror}")
            raise ConfigError([problem], str(file)) from error
        text = data.decode(errors="replace")
        if "\ufffd" in text:
            self.notes.append(Note(str(file), "is not all UTF-8; what isn't was replaced"))
        return text

    @property
    def folder(self) -> Path:
        """Where relative paths of the file begin."""
        return self.file.parent

    @property
    def port_offset(self) -> int:
        """What is added to the ports of publishers' sockets."""
        return self.number("global", "port_offset", 0)

    def place(self, section: str, key: str) -> str:
        """A setting as notes name it."""
        return f"{self.file.name} [{section}] {key}"

    def note(self, section: str, key: str, message: str) -> None:
        """Keep a note about a setting."""
        note = Note(self.place(section, key), message)
        if note not in self.notes:
            self.notes.append(note)

    def text(self, section: str, key: str, default: str = "") -> str:
        """A setting as text, with `{rundir}` and the like filled in and the port offset added."""
        raw = self._raw(section, key)
        return self._filled(default if raw is None else text_of(raw))

    def literal(self, section: str, key: str, default: str = "") -> str:
        """A setting as text that nothing is filled into: a key, an issuer."""
        raw = self._raw(section, key)
        if raw is None:
            return default
        if is_ambiguous(raw):
            message = "taken literally; Pushpin reads commas, `;`, `\\` outside quotes differently"
            self.note(section, key, message)
        return text_of(raw)

    def items(self, section: str, key: str, default: str = "") -> list[str]:
        """A setting as a list of texts."""
        raw = self._raw(section, key)
        return [self._filled(item) for item in items_of(default if raw is None else raw)]

    def number(self, section: str, key: str, default: int, minimum: int | None = None) -> int:
        """A setting as a whole number; the default, and a note, if it is none."""
        text = self.literal(section, key).strip()
        if not text:
            return default
        if not _NUMBER.fullmatch(text):
            self.note(section, key, f"`{text}` is not a number; {default} is used")
            return default
        if minimum is not None and int(text) < minimum:
            self.note(section, key, f"{text} is below {minimum}; {default} is used")
            return default
        return int(text)

    def flag(self, section: str, key: str, *, default: bool = False) -> bool:
        """A setting as yes or no: anything but `false`, `0` and nothing is yes."""
        if not self.has(section, key):
            return default
        return self.literal(section, key).strip().lower() not in {"", "0", "false"}

    def has(self, section: str, key: str) -> bool:
        """True if the file says anything about it."""
        return key in self.sections.get(section, {})

    def not_asked(self) -> list[tuple[str, str, str]]:
        """Section, key and value of everything that no one asked for, in the file's order."""
        return [
            (section, key, text_of(value))
            for section, values in self.sections.items()
            for key, value in values.items()
            if (section, key) not in self._asked
        ]

    def _raw(self, section: str, key: str) -> str | None:
        self._asked.add((section, key))
        return self.sections.get(section, {}).get(key)

    def _filled(self, text: str) -> str:
        for name, value in (
            ("{rundir}", self._run_dir),
            ("{ipc_prefix}", self.literal("global", "ipc_prefix", "pushpin-")),
            ("{libdir}", self.literal("global", "libdir")),
        ):
            if name in text:
                text = text.replace(name, value() if callable(value) else value)
        offset = self.port_offset
        return _TCP.sub(lambda found: f"{found[1]}{int(found[2]) + offset}", text)

    def _run_dir(self) -> str:
        old = self.literal("runner", "rundir", "run")
        return str(self.folder / self.literal("global", "rundir", old))

    def _include(self) -> None:
        """Fill what is missing from the included file, which usually has internal names only."""
        name = self.text("global", "include")
        if not name:
            return
        included = self.folder / name
        try:
            sections = read_ini(self.read_text(included))
        except ConfigError:
            if included.name != "internal.conf":
                self.note("global", "include", f"there is no readable file {included}")
            return
        for section, values in sections.items():
            self.sections[section] = values | self.sections.get(section, {})
