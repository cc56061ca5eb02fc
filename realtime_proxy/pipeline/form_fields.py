"""Fields of forms in request bodies: `application/x-www-form-urlencoded`, `multipart/form-data`."""

import re
from collections.abc import Collection, Iterator

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.request_credentials import arguments, target_without

_URLENCODED = b"application/x-www-form-urlencoded"
_MULTIPART = b"multipart/form-data"
# RFC 2046 5.1.1, in quotes or without.
_BOUNDARY = re.compile(
    rb"""(?i);\s*boundary\s*=\s*(?:"([0-9a-z'()+_,./:=? -]{1,70})\""""
    rb"""|([0-9a-z'+_./-]{1,70})\s*(?:;|$))"""
)
# Clients write `%22` for quotes within (HTML), so there are none.
_NAME = re.compile(
    rb"""(?im)^content-disposition\s*:\s*form-data\s*;(?:[^\r\n]*;)?\s*name="([^"]*)\""""
)


@attrs.frozen
class Form:
    """A body whose fields can be told apart, as it is written."""

    body: bytes
    boundary: bytes = b""  # of multipart; without one it is urlencoded

    @staticmethod
    def is_in(headers: Headers) -> bool:
        """True if a request's body may be one."""
        if headers.has(b"content-encoding"):
            return False
        return headers.media_type() == _URLENCODED or bool(_boundary_of(headers))

    @classmethod
    def of(cls, headers: Headers, body: bytes) -> "Form":
        """The form of a request for which `is_in` holds."""
        return cls(body, _boundary_of(headers))

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, as they are meant."""
        return [value for field, value in self._fields() if field == name]

    def without(self, names: Collection[bytes]) -> bytes:
        """The body without these fields; the others are as they were written."""
        if not self.boundary:
            return target_without(b"?" + self.body, names).removeprefix(b"?")
        kept = [part for part in self._parts() if _name_of(part) not in names]
        return b"".join(kept).removeprefix(b"\r\n")

    def _fields(self) -> Iterator[tuple[bytes, bytes]]:
        if not self.boundary:
            yield from ((name, value) for name, value, _ in arguments(b"?" + self.body))
            return
        for part in self._parts():
            if (name := _name_of(part)) is not None:
                yield name, part.partition(b"\r\n\r\n")[2]

    def _parts(self) -> list[bytes]:
        """What each delimiter begins, and what is before the first; joined they are the body."""
        delimiter = b"\r\n--" + self.boundary
        before, *parts = (b"\r\n" + self.body).split(delimiter)
        return [before, *(delimiter + part for part in parts)]


def _boundary_of(headers: Headers) -> bytes:
    if headers.media_type() != _MULTIPART:
        return b""
    found = _BOUNDARY.search(headers.get(b"content-type") or b"")
    return (found[1] or found[2]) if found else b""


def _name_of(part: bytes) -> bytes | None:
    """The field's name; None for what is no part: before the first, and from the last on."""
    found = _NAME.search(part.partition(b"\r\n\r\n")[0])
    return found[1] if found else None
