"""SockJS on a route: which of its endpoints a path is, and where its sessions go.

`docs/sockjs.md` has the endpoints.
"""

import hashlib
import html
import re
from enum import Enum
from typing import Self

import attrs

from realtime_proxy.config.route_section import Route

_IFRAME = re.compile(rb"/iframe[-0-9a-zA-Z_.]*\.html")
_OF_SESSION = re.compile(rb"/[^/.]+/([^/.]+)/([^/]+)")
_SENDING = frozenset((b"xhr_send", b"jsonp_send"))
_RECEIVING = frozenset((b"eventsource", b"htmlfile", b"jsonp", b"xhr", b"xhr_streaming"))
_CALLBACK_NAMES = frozenset((b"c", b"callback"))

# What the page of an iframe is: the library, which talks to the page around it.
_PAGE = """<!doctype html>
<html>
<head>
<meta http-equiv="X-UA-Compatible" content="IE=edge">
<meta charset="UTF-8">
<script>
document.domain = document.domain;
_sockjs_onload = function () {{ SockJS.bootstrap_iframe(); }};
</script>
<script src="{url}"></script>
</head>
<body><p>This page is loaded by SockJS, which needs it in some browsers.</p></body>
</html>
"""


class Kind(Enum):
    """What is at a path."""

    GREETING = "a line of text"
    INFO = "what is supported"
    IFRAME = "the page for iframes"
    RAW = "a WebSocket without frames of SockJS"
    RECEIVE = "where a session gets its messages, and begins"
    SEND = "where a session's messages go"
    OTHER = "for WebSockets of SockJS all of a session's paths; else nothing"


@attrs.frozen
class Endpoint:
    """What a path leads to: its kind, the session if it names one, and the transport's name."""

    kind: Kind
    session: bytes = b""
    transport: bytes = b""

    @property
    def is_of_session(self) -> bool:
        """True if requests there are part of a session over HTTP."""
        return self.kind in (Kind.RECEIVE, Kind.SEND)


@attrs.frozen
class SockJsRules:
    """How a route serves SockJS. `page` is for iframes, and `etag` tells its versions apart."""

    prefix: bytes
    as_path: bytes
    page: bytes
    etag: bytes

    @classmethod
    def of(cls, route: Route, url: str) -> Self | None:
        """The rules of a configured route, None without SockJS; iframes load the `url`."""
        if not route.sockjs:
            return None
        page = _PAGE.format(url=html.escape(url)).encode()
        digest = hashlib.md5(page, usedforsecurity=False).hexdigest()
        prefix = route.sockjs.encode().rstrip(b"/")
        return cls(prefix, route.sockjs_as_path.encode(), page, b'"%b"' % digest.encode())

    def endpoint(self, path: bytes) -> Endpoint | None:
        """What is at a path, which is without query; None if it is not of SockJS."""
        prefix, rest = path[: len(self.prefix)], path[len(self.prefix) :]
        if prefix != self.prefix or rest[:1] not in (b"", b"/"):
            return None
        match rest:
            case b"" | b"/":
                return Endpoint(Kind.GREETING)
            case b"/info":
                return Endpoint(Kind.INFO)
            case b"/websocket":
                return Endpoint(Kind.RAW)
        if _IFRAME.fullmatch(rest):
            return Endpoint(Kind.IFRAME)
        found = _OF_SESSION.fullmatch(rest)
        if found is None:
            return Endpoint(Kind.OTHER)
        session, name = found.groups()
        if name in _RECEIVING:
            return Endpoint(Kind.RECEIVE, session, name)
        return Endpoint(Kind.SEND if name in _SENDING else Kind.OTHER, session, name)

    def backend_target(self, target: bytes, *, websocket: bool) -> bytes:
        """What backends see of a session's target: one path for all, and the query.

        The name of a page's function is of no use to them.
        """
        path = self.as_path or self.prefix + b"/websocket" * websocket or b"/"
        parameters = [
            parameter
            for parameter in target.partition(b"?")[2].split(b"&")
            if websocket or parameter.partition(b"=")[0] not in _CALLBACK_NAMES
        ]
        query = b"&".join(parameters)
        return path + b"?" + query if query else path
