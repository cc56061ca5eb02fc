"""A request that a gateway in front has got and tells of, to hear whether it may pass."""

import re
from typing import Self

import attrs

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.wire.websocket_handshake import is_upgrade

_METHOD, _URI = b"x-forwarded-method", b"x-forwarded-uri"
_HOST, _PROTO = b"x-forwarded-host", b"x-forwarded-proto"
_DESCRIBING = (_METHOD, _URI, _HOST, _PROTO)
# A gateway that tells of a request by asking for the same itself has these of its own accord.
_DECISIVE = (_METHOD, _URI)
# (TLS, WebSocket): Traefik says what a WebSocket is by its scheme.
_SCHEMES = {
    b"http": (False, False),
    b"https": (True, False),
    b"ws": (False, True),
    b"wss": (True, True),
}
_ACCEPTED = {
    _METHOD: re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"),
    _URI: re.compile(rb"/[\x21-\x7e\x80-\xff]*|\*"),
    _HOST: re.compile(rb"[A-Za-z0-9._~-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?"),
    _PROTO: re.compile(rb"https?|wss?", re.IGNORECASE),
}
# Of the message that asks, not of the one that it is about.
_OF_QUESTION = frozenset((*_DESCRIBING, b"host", b"content-length", b"transfer-encoding"))


@attrs.frozen
class DescribedRequest:
    """What a client has asked a gateway for. `head` has the header fields that came along."""

    head: RequestHead
    host: bytes
    is_tls: bool
    is_websocket: bool

    @classmethod
    def read(cls, question: RequestHead, host: bytes, *, prefix: bytes, is_tls: bool) -> Self:
        """The request that a question is about.

        It is told in `X-Forwarded-Method`, `-Uri`, `-Host` and `-Proto`, as by Traefik and Caddy.
        Without the first two the question is what the client has asked for, behind the path
        `prefix`, as Envoy has it; `host` and `is_tls` are the question's.

        Raises ProtocolError (400) if only some of them are there: what a gateway does not say, its
        client could.
        """
        headers = question.headers
        is_websocket = is_upgrade(headers)
        if any(headers.has(name) for name in _DECISIVE):
            method, target, host, proto = (_one(headers, name) for name in _DESCRIBING)
            is_tls, by_scheme = _SCHEMES[proto.lower()]
            is_websocket = is_websocket or by_scheme
        else:
            method, target = question.method, question.target[len(prefix.rstrip(b"/")) :]
            target = target if target[:1] == b"/" else b"/" + target
        kept = Headers([(b"Host", host), *headers.without(_OF_QUESTION)])
        return cls(RequestHead(method, target, kept), host, is_tls, is_websocket)

    @property
    def scheme(self) -> str:
        """As of an exchange: `http`, `https`, `ws` or `wss`."""
        return ("ws" if self.is_websocket else "http") + ("s" if self.is_tls else "")


def _one(headers: Headers, name: bytes) -> bytes:
    values = headers.get_all(name)
    if len(values) != 1 or not _ACCEPTED[name].fullmatch(values[0]):
        shown = name.decode().title()
        raise ProtocolError(400, f"{shown} must be there once and say what the client asked for.")
    return values[0]
