"""HTTP header fields: ordered, repeatable, names compared without regard to case."""

from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

# Fields that belong to one hop (RFC 9110 7.6.1), and Keep-Alive and Proxy-Connection, which
# are hop-by-hop by custom. Whatever `Connection` names is added to these per message.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# By this table (`bytes.translate`) a name becomes what backends make of it that have variables for
# fields (CGI, WSGI, PHP): for them `X_Consumer.ID` and `x-consumer-id` are one.
CANONICAL = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.", b"abcdefghijklmnopqrstuvwxyz--")


class Headers(list[tuple[bytes, bytes]]):
    """The header fields of one message, as (name, value) pairs in the order they came.

    Names keep the case in which they were written. All methods take names in lower case.
    Messages have few fields: for these, loops take two thirds of the time of comprehensions.
    """

    __slots__ = ()

    def remember(self, ask: Callable[..., T], *details: Hashable) -> T:
        """What `ask(fields, *details)` gives. Fields that are known need not be asked twice."""
        return ask(self, *details)

    def remember_latest(self, ask: Callable[..., T], about: Hashable, *details: Hashable) -> T:
        """As `remember`; but only what was last asked `about` need be known."""
        return ask(self, about, *details)

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, or None."""
        for field, value in self:
            if field.lower() == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of a field, one for each time it was written."""
        values = []
        size = len(name)  # compared first, as that is cheaper than a copy in lower case
        for field, value in self:
            if len(field) == size and field.lower() == name:
                values.append(value)
        return values

    def has(self, name: bytes) -> bool:
        """True if the field is there, even with an empty value."""
        for field, _ in self:  # noqa: SIM110
            if field.lower() == name:
                return True
        return False

    def media_type(self) -> bytes:
        """The media type of the content, in lower case and without parameters; perhaps empty."""
        return (self.get(b"content-type") or b"").partition(b";")[0].strip().lower()

    def tokens(self, name: bytes) -> list[bytes]:
        """The elements of a comma list over all lines of the field, lower-cased, none empty."""
        values = self.get_all(name)
        return elements(values) if values else values  # fields that are lists are rare

    def only(self, names: Container[bytes]) -> "Headers":
        """A copy of the named fields alone."""
        return Headers([pair for pair in self if pair[0].lower() in names])

    def indexed(self, names: Container[bytes]) -> "FieldIndex":
        """The named fields alone, to be asked several questions of."""
        index = FieldIndex()
        for field, value in self:
            name = field.lower()
            if name in names:
                index.setdefault(name, []).append(value)
        return index

    def without(self, names: Container[bytes]) -> "Headers":
        """A copy that lacks the named fields."""
        kept = Headers()
        for pair in self:
            if pair[0].lower() not in names:
                kept.append(pair)
        return kept

    def without_prefix(self, prefix: bytes) -> "Headers":
        """A copy that lacks every field whose name begins with the prefix."""
        kept = Headers()
        for pair in self:
            if not pair[0].lower().startswith(prefix):
                kept.append(pair)
        return kept

    def replaced(self, name: bytes, value: bytes) -> "Headers":
        """A copy in which the field has just this value, added at the end; `name` as to write."""
        lowered = name.lower()
        copy = Headers([pair for pair in self if pair[0].lower() != lowered])
        copy.append((name, value))
        return copy

    def content_bytes(self) -> int:
        """The size of all names and values, without what is between them."""
        size = 0
        for name, value in self:
            size += len(name) + len(value)
        return size

    def end_to_end(self, hidden: frozenset[bytes]) -> "Headers":
        """A copy that lacks the hidden fields, `HOP_BY_HOP` among them, and those of this hop."""
        named = self.tokens(b"connection")
        return self.without(hidden.union(named) if named else hidden)

    def hop_by_hop(self) -> frozenset[bytes]:
        """The names of the fields that must not leave this hop (RFC 9110 7.6.1)."""
        named = self.tokens(b"connection")
        return HOP_BY_HOP.union(named) if named else HOP_BY_HOP


class FieldIndex(dict[bytes, list[bytes]]):
    """The values of some fields of one message, by name. Names are in lower case."""

    __slots__ = ()

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of a field, one for each time it was written."""
        return self.get(name) or []

    def tokens(self, name: bytes) -> list[bytes]:
        """As `Headers.tokens`."""
        values = self.get(name)
        return elements(values) if values else []


Fields = Headers | FieldIndex


def elements(values: Sequence[bytes]) -> list[bytes]:
    """The elements of comma lists, lower-cased, none empty."""
    return [
        token for value in values for part in value.split(b",") if (token := part.strip().lower())
    ]


def as_headers(pairs: Iterable[tuple[str, str]]) -> Headers:
    """Headers of text pairs, as handlers and configuration give them (UTF-8)."""
    return Headers((name.encode(), value.encode()) for name, value in pairs)
