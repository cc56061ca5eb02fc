"""Request and response heads as the proxy sees them."""

from http import HTTPStatus

import attrs

from realtime_proxy.model.headers import Headers

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


def reason_phrase(status: int) -> bytes:
    """The standard phrase of a status; `Undefined Reason` for one that has none."""
    return REASONS.get(status, b"Undefined Reason")


@attrs.define
class RequestHead:
    """A request's line and fields; `target` is the path as written, version `1.0` or `1.1`."""

    method: bytes
    target: bytes
    headers: Headers
    version: bytes = b"1.1"

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    def content_bytes(self) -> int:
        """The size as statistics estimate it: without separators."""
        return len(self.method) + len(self.target) + self.headers.content_bytes()


@attrs.define
class ResponseHead:
    """A response's status line and header fields."""

    status: int
    reason: bytes
    headers: Headers
    version: bytes = b"1.1"

    def content_bytes(self) -> int:
        """The size as statistics estimate it: without separators."""
        return 3 + len(self.reason) + self.headers.content_bytes()


@attrs.define
class Response:
    """A whole response that is made here: a refusal, an error, an answer of a handler."""

    status: int
    headers: Headers
    body: bytes = b""
    reason: bytes = b""

    def head(self) -> ResponseHead:
        """The head, with the standard reason phrase when none was given."""
        return ResponseHead(self.status, self.reason or reason_phrase(self.status), self.headers)


def text_response(status: int, text: str) -> Response:
    """A plain-text response of the proxy's own: one line."""
    return Response(status, Headers([(b"Content-Type", b"text/plain")]), text.encode() + b"\n")
