"""JSON-P requests: a page's `<script>` can only GET, so its query describes the request to make.

`?callback=CB` asks for a response that is a call of CB (`script.py`). `_method`, `_headers` and
`_body` say what to ask the backend instead of that GET; the rest of the query is passed on.

Any page can have a browser make such a request with its user's cookies. So a page gets no further
than `fetch()` would let it: fields and methods that are forbidden there (Fetch standard, 2.2) are
not taken, nor those by which proxies tell who a client is.
"""

import re
from typing import Self
from urllib.parse import unquote_to_bytes

import attrs
import msgspec

from realtime_proxy.config.checks import is_callback
from realtime_proxy.config.route_section import Route
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import HOP_BY_HOP, Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.forwarding import MARK
from realtime_proxy.routing.script import Script
from realtime_proxy.wire.http1_rules import is_field_name, is_field_value

_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_METHODS_FORBIDDEN = frozenset((b"CONNECT", b"TRACE", b"TRACK"))
_FIELDS_FORBIDDEN = HOP_BY_HOP | frozenset(
    (
        b"accept",  # always `*/*`, as of a script
        b"accept-charset",
        b"accept-encoding",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"content-length",
        b"cookie",
        b"cookie2",
        b"date",
        b"dnt",
        b"expect",
        b"forwarded",
        b"host",
        b"origin",
        b"referer",
        b"set-cookie",
        b"via",
        b"x-real-ip",
    )
)
_PREFIXES_FORBIDDEN = (b"grip-", b"proxy-", b"sec-", b"x-forwarded-", MARK)
# Of the fields of the script's own GET: those said anew.
_REPLACED = frozenset((b"accept", b"content-length", b"host"))
_BODYLESS = frozenset((b"DELETE", b"GET", b"HEAD", b"OPTIONS"))

Items = list[tuple[bytes, bytes, bytes]]  # name, value as it was written, both as they were


@attrs.frozen
class JsonPRequest:
    """What a query describes: how to answer, and the request to make."""

    script: Script
    head: RequestHead
    body: bytes


@attrs.frozen
class JsonPRules:
    """How JSON-P is asked for on a route; what is empty has no such name or default."""

    extended: bool = True
    callback_name: bytes = b"callback"
    body_name: bytes = b""
    default_callback: bytes = b""
    default_method: bytes = b""

    @classmethod
    def of(cls, route: Route) -> Self:
        """The rules of a configured route."""
        return cls(
            extended=route.json_p_mode == "extended",
            callback_name=route.json_p_callback.encode(),
            body_name=route.json_p_body.encode(),
            default_callback=route.json_p_default_callback.encode(),
            default_method=route.json_p_default_method.encode(),
        )

    def read(self, head: RequestHead) -> JsonPRequest | None:
        """The request that a script's GET describes; None for one that asks for no script.

        Raises ProtocolError (400), naming the parameter that makes no sense.
        """
        path, _, query = head.target.partition(b"?")
        if head.method != b"GET" or not query:
            return None
        items = _items(query)
        names = {name for name, _, _ in items}
        callback = self.default_callback
        if self.callback_name in names:
            callback = _value(items, self.callback_name, "callback") or b""
            if not is_callback(callback.decode("latin-1")):
                raise _invalid("callback")
        elif not callback or not self.body_name or self.body_name not in names:
            return None
        body = _value(items, self.body_name or b"_body", "body" if self.body_name else "_body")
        method = self._method(_value(items, b"_method", "_method"))
        headers = self._headers(head, method, _value(items, b"_headers", "_headers"), body)
        consumed = {self.callback_name, b"_method", b"_headers", self.body_name or b"_body"}
        rest = b"&".join(written for name, _, written in items if name not in consumed)
        target = path + b"?" + rest if rest else path
        asked = RequestHead(method, target, headers, head.version)
        return JsonPRequest(Script(callback, self.extended), asked, body or b"")

    def _method(self, given: bytes | None) -> bytes:
        if given is None:
            return self.default_method or (b"GET" if self.extended else b"POST")
        if not is_field_name(given) or given.upper() in _METHODS_FORBIDDEN:
            raise _invalid("_method")
        return given

    def _headers(
        self, head: RequestHead, method: bytes, described: bytes | None, body: bytes | None
    ) -> Headers:
        """The fields described, then those that the script's GET came with."""
        own = head.headers.without(_REPLACED)
        # What the GET has may be of a proxy in front that says who the client is: it stays.
        said = {name.lower() for name, _ in own}
        headers = _described_fields(described).without(said)
        if self.body_name and body is not None:
            own = own.without((b"content-type",))
            headers = headers.replaced(b"Content-Type", b"application/json")
        headers += [*head.headers.only((b"host",)), (b"Accept", b"*/*"), *own]
        if body or method not in _BODYLESS:
            headers.append((b"Content-Length", b"%d" % len(body or b"")))
        return headers


def _items(query: bytes) -> Items:
    """The parameters of a query. A `+` is a plus, as everywhere but in forms."""
    items = []
    for written in query.split(b"&"):
        name, _, value = written.partition(b"=")
        items.append((unquote_to_bytes(name), value, written))
    return items


def _value(items: Items, wanted: bytes, label: str) -> bytes | None:
    """The first value of a parameter, decoded; None if it is not there."""
    for name, value, _ in items:
        if name == wanted:
            if _BAD_PERCENT.search(value):
                raise _invalid(label)
            return unquote_to_bytes(value)
    return None


def _described_fields(text: bytes | None) -> Headers:
    """The fields of a JSON object of texts, without those that a page may not set."""
    if text is None:
        return Headers()
    try:
        described = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, RecursionError):
        raise _invalid("_headers") from None
    headers = Headers((name.encode(), value.encode()) for name, value in described.items())
    for name, value in headers:
        if not is_field_name(name) or not is_field_value(value):
            raise _invalid("_headers")
    return Headers(
        field
        for field in headers
        if (name := field[0].lower()) not in _FIELDS_FORBIDDEN
        and not name.startswith(_PREFIXES_FORBIDDEN)
    )


def _invalid(parameter: str) -> ProtocolError:
    return ProtocolError(400, f"Invalid {parameter} parameter.")
