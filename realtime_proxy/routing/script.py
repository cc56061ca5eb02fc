"""A response as a script that calls a function of the page that asked for it (JSON-P).

Extended: the argument is an object that tells of status, fields and body. Basic: it is the body,
which has to be JSON. All that is written is ASCII without `<`, so that neither an old browser
(U+2028), nor a page in another encoding, nor one that has the script inline (`</script>`) reads it
differently; `/**/` before the name keeps it from being the beginning of another file format.
"""

import codecs
import json
import re
from typing import Any

import attrs
import msgspec

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, ResponseHead, text_response

_NOT_ENCODABLE = "Upstream response could not be JSON-P encoded."

_TYPE = (b"Content-Type", b"application/javascript")
# As a script or not at all: a browser must not find a page in what a backend's user has written.
_NOT_SNIFFED = (b"X-Content-Type-Options", b"nosniff")
_SNIFFING = frozenset((b"x-content-type-options",))
_MIRRORED = frozenset((b"cache-control",))
_OF_THE_BODY = _SNIFFING | {b"content-encoding", b"content-type"}
# No page may read these (Fetch standard, 2.2.2).
_NOT_READABLE = frozenset((b"set-cookie", b"set-cookie2"))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@attrs.frozen
class Script:
    """How a response is put: as a call of `callback`, extended or basic."""

    callback: bytes
    extended: bool

    def head(self, told: ResponseHead) -> ResponseHead:
        """The head under which a response goes: its own is told in the script."""
        return _script_head(told.headers.only(_MIRRORED))

    def begin(self, told: ResponseHead, first: bytes) -> tuple["ScriptBody", bytes]:
        """The body of a script that is sent while it is made, and its beginning.

        `first` is what there is of the response's own body. Raises ProtocolError (500) if there
        can be no such script: the argument of a basic one has to be looked at as a whole.
        """
        if not self.extended:
            raise ProtocolError(500, _NOT_ENCODABLE)
        headers = {name: values[0] for name, values in _readable(told.headers).items()}
        begin = b'/**/%b({"code": %d, "reason": %b, "headers": %b, "body": "' % (
            self.callback,
            told.status,
            _json(told.reason.decode(errors="replace")),
            _json(headers),
        )
        body = ScriptBody()
        return body, begin + body.encode(first)

    def whole(self, response: Response) -> Response:
        """A whole response as a script, or why it can not be one (500)."""
        if not self.extended:
            return self._basic(response, response.headers.only(_MIRRORED))
        told = response.head()
        try:
            body, begin = self.begin(told, response.body)
            return _response(self.head(told), begin + body.encode(b"", is_last=True))
        except ProtocolError as error:
            return text_response(error.status, str(error))

    def held(self, response: Response) -> Response:
        """As `whole`, of a response that was held: it keeps all fields but those of its body."""
        kept = response.headers.without(_OF_THE_BODY)
        if not self.extended:
            return self._basic(response, kept)
        try:
            described = {
                "body": response.body.decode(),
                "code": response.status,
                "headers": {
                    name: ", ".join(values) for name, values in _readable(response.headers).items()
                },
                "reason": response.head().reason.decode(errors="replace"),
            }
        except UnicodeDecodeError:
            return text_response(500, _NOT_ENCODABLE)
        return self._call(kept, _json(described, sort_keys=True, separators=(",", ":")))

    def _basic(self, response: Response, kept: Headers) -> Response:
        """The body as the argument. A body that is no JSON would be a script of its own.

        A failure in plain text stays one: its status has the page's `onerror` called, and there is
        no other way to tell.
        """
        try:
            msgspec.json.decode(response.body)
            text = response.body.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if _is_plain_failure(response):
                return _as_it_is(response)
            return text_response(500, _NOT_ENCODABLE)
        # Outside ASCII, and at `<`, JSON has nothing but texts, so they may be written otherwise.
        text = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
        text = text.replace("<", "\\u003c").removesuffix("\n").removesuffix("\r")
        return self._call(kept, text.encode())

    def _call(self, fields: Headers, argument: bytes) -> Response:
        return _response(_script_head(fields), b"/**/%b(%b);\n" % (self.callback, argument))


class ScriptBody:
    """The body of an extended script, made while that of the response arrives."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def encode(self, part: bytes, *, is_last: bool = False) -> bytes:
        """Some of the body, with the end of the script after the last of it.

        Raises ProtocolError (500) when the body is no text (UTF-8).
        """
        try:
            text = _json(self._decoder.decode(part, is_last))[1:-1]
        except UnicodeDecodeError:
            raise ProtocolError(500, _NOT_ENCODABLE) from None
        return text + b'"});\n' if is_last else text


def _script_head(fields: Headers) -> ResponseHead:
    return ResponseHead(200, b"OK", Headers([_TYPE, _NOT_SNIFFED, *fields]))


def _response(head: ResponseHead, body: bytes) -> Response:
    return Response(head.status, head.headers, body, head.reason)


def _is_plain_failure(response: Response) -> bool:
    kind = (response.headers.get(b"content-type") or b"").partition(b";")[0].strip()
    return response.status >= 400 and kind == b"text/plain"


def _as_it_is(response: Response) -> Response:
    headers = Headers([*response.headers.without(_SNIFFING), _NOT_SNIFFED])
    return attrs.evolve(response, headers=headers)


def _readable(headers: Headers) -> dict[str, list[str]]:
    """The values of each field that a page may read, by its name as it is first written."""
    found: dict[bytes, tuple[str, list[str]]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered not in _NOT_READABLE:
            spelled = name.decode(errors="replace")
            found.setdefault(lowered, (spelled, []))[1].append(value.decode(errors="replace"))
    return dict(found.values())


def _json(value: Any, **form: Any) -> bytes:
    """A value as JSON in ASCII that may stand in a script, wherever that stands."""
    return json.dumps(value, **form).replace("<", "\\u003c").encode()
