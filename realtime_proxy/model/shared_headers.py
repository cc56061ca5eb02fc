"""Header fields that many messages have: nobody changes them, and what was found out stays."""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Any, Never, TypeVar

from realtime_proxy.model.headers import Headers, elements

T = TypeVar("T")

# Of one set of fields. With more than so many targets that have a `host` they are asked anew.
_MAX_ANSWERS = 16
# What is noted for an answer that is the very fields which were asked.
_THESE = object()


class SharedHeaders(Headers):
    """Fields that cannot be changed, so that messages may share them.

    Whoever wants others makes a copy, `Headers(fields)`, or has these `plus` more. `is_checked`
    says that each is known to be a field, by the rules of `wire/http1_rules.py`.
    """

    __slots__ = ()
    is_checked = False

    @staticmethod
    def of(fields: Headers) -> "SharedHeaders":
        """These fields as they are now; themselves if they can't change."""
        return fields if isinstance(fields, SharedHeaders) else SharedHeaders(fields)

    def subset(self, fields: list[tuple[bytes, bytes]]) -> "SharedHeaders":
        """Some of these fields, of which as much is known as of all."""
        return SharedHeaders(fields)

    def joined(self, *parts: "SharedHeaders") -> "SharedHeaders":
        """Fields of several parts, of which as much is known as of these fields."""
        return SharedHeaders(chain.from_iterable(parts))

    def as_parts(self) -> "tuple[SharedHeaders, ...]":
        """These fields as parts of others."""
        return (self,)

    def plus(self, *more: "SharedHeaders") -> "SharedHeaders":
        """These fields and then others."""
        return self.joined(self, *more)

    def lacking(self, names: frozenset[bytes]) -> "SharedHeaders":
        """Those that are not named, in lower case; themselves if none is."""
        kept = self.without(names)
        return self if len(kept) == len(self) else self.subset(kept)

    def _refuse(self, *_args: Any, **_options: Any) -> Never:
        raise TypeError("these fields are shared by messages: change a copy, Headers(fields)")

    append: Any = _refuse
    clear: Any = _refuse
    extend: Any = _refuse
    insert: Any = _refuse
    pop: Any = _refuse
    remove: Any = _refuse
    reverse: Any = _refuse
    sort: Any = _refuse
    __delitem__: Any = _refuse
    __iadd__: Any = _refuse
    __imul__: Any = _refuse
    __setitem__: Any = _refuse


class CheckedHeaders(SharedHeaders):
    """Shared fields as they came: each is known to be one."""

    __slots__ = ()
    is_checked = True

    def subset(self, fields: list[tuple[bytes, bytes]]) -> SharedHeaders:
        """Some of these fields, of which as much is known as of all."""
        return CheckedHeaders(fields)

    def joined(self, *parts: SharedHeaders) -> SharedHeaders:
        """Fields of several parts, of which as much is known as of these fields."""
        fields: list[tuple[bytes, bytes]] = []
        kind: type[SharedHeaders] = CheckedHeaders
        for part in parts:
            fields += part
            if not part.is_checked:
                kind = SharedHeaders
        return kind(fields)


class KnownHeaders(SharedHeaders):
    """Shared fields that come again: what was asked of them is remembered.

    So are values by name, their size, the lines that they are written as (`lines`, which belongs
    to `wire/http1_rules.py`), and all that goes through `remember`. `parts` are those of which
    they were put together: each knows of itself.

    What is remembered never refers to the fields that remember it: they and it are then gone as
    soon as nobody has them, without a collection, which comes seldom, and maybe hours later.
    """

    _answers: dict[Hashable, Any] | None = None
    _by_name: dict[bytes, list[bytes]] | None = None
    _size: int | None = None
    is_checked = False
    lines: bytes | None = None
    parts: tuple[SharedHeaders, ...] = ()

    def subset(self, fields: list[tuple[bytes, bytes]]) -> SharedHeaders:
        """Some of these fields, of which as much is known as of all."""
        chosen = KnownHeaders(fields)
        chosen.is_checked = self.is_checked
        return chosen

    def joined(self, *parts: SharedHeaders) -> SharedHeaders:
        """Fields of several parts, of which as much is known as of these fields."""
        joined = KnownHeaders(chain.from_iterable(parts))
        joined.parts = tuple(chain.from_iterable([part.as_parts() for part in parts]))
        return joined

    def as_parts(self) -> tuple[SharedHeaders, ...]:
        """These fields as parts of others, which may be remembered here."""
        if not self.parts:
            part = _Part(self)
            part.is_checked = self.is_checked
            self.parts = (part,)
        return self.parts

    def lacking(self, names: frozenset[bytes]) -> SharedHeaders:
        """Those that are not named, in lower case; themselves if none is."""
        return self.remember(_lacking, names)

    def remember(self, ask: Callable[..., T], *details: Hashable) -> T:
        """What `ask(fields, *details)` gives, from now on without asking.

        It must depend on nothing else and never change, and is kept for as long as the fields,
        as `ask` and the details are.
        """
        answers, key = self._answers, (ask, details)
        if answers is not None and key in answers:
            known: T = answers[key]
            return self if known is _THESE else known  # type: ignore[return-value]
        answer = ask(self, *details)
        self._note(key, _THESE if answer is self else answer)
        return answer

    def remember_latest(self, ask: Callable[..., T], about: Hashable, *details: Hashable) -> T:
        """What `ask(fields, about, *details)` gives, until it is asked about something else."""
        answers, key = self._answers, (ask, details)
        if answers is not None and (latest := answers.get(key)) and latest[0] == about:
            known: T = latest[1]
            return known
        answer = ask(self, about, *details)
        if answer is not self:
            self._note(key, (about, answer))
        return answer

    def _note(self, key: Hashable, answer: object) -> None:
        if self._answers is None:
            self._answers = {}
        elif len(self._answers) >= _MAX_ANSWERS:
            self._answers.clear()
        self._answers[key] = answer

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, or None."""
        values = self._values(name)
        return values[0] if values else None

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of a field, one for each time it was written."""
        return [*self._values(name)]

    def has(self, name: bytes) -> bool:
        """True if the field is there, even with an empty value."""
        return bool(self._values(name))

    def tokens(self, name: bytes) -> list[bytes]:
        """The elements of a comma list over all lines of the field, lower-cased, none empty."""
        values = self._values(name)
        return elements(values) if values else []

    def _values(self, name: bytes) -> Sequence[bytes]:
        by_name = self._by_name
        if by_name is None:
            by_name = self._by_name = {}
            for field, value in self:
                by_name.setdefault(field.lower(), []).append(value)
        return by_name.get(name, ())

    def content_bytes(self) -> int:
        """The size of all names and values, without what is between them."""
        size = self._size
        if size is None:
            if self.parts:
                size = sum([part.content_bytes() for part in self.parts])
            else:
                size = super().content_bytes()
            self._size = size
        return size


class _Part(KnownHeaders):
    """Known fields as others have them in it, which is all that these are for."""

    def subset(self, fields: list[tuple[bytes, bytes]]) -> SharedHeaders:
        """Some of these fields, of which as much is known as of all."""
        chosen = _Part(fields)
        chosen.is_checked = self.is_checked
        return chosen

    def as_parts(self) -> tuple[SharedHeaders, ...]:
        """These fields as parts of others."""
        return (self,)


def _lacking(fields: KnownHeaders, names: frozenset[bytes]) -> SharedHeaders:
    if fields.parts:
        left = [part.lacking(names) for part in fields.parts]
        if sum(map(len, left)) == len(fields):
            return fields
        return fields.joined(*left)
    kept = fields.without(names)
    return fields if len(kept) == len(fields) else fields.subset(kept)
