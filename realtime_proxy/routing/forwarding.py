"""What of a client's fields backends get, and what they are told of the client.

Made when a configuration is loaded: what needs no look at a request is decided here once.
"""

from collections.abc import Container
from typing import Self

import attrs

from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import CANONICAL, Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.proxies_in_front import (
    ENCRYPTED,
    FORWARDED,
    PUSHPIN_ROUTE,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    ProxiesInFront,
    forwarded_addresses,
)

MARK = b"eb9bf0f5-"
_PROTO_TO_SET = {"": (), "proto": (b"X-Forwarded-Proto",), "both": X_FORWARDED_PROTO}
_CDN_LOOP = b"cdn-loop"
_VIA = b"via"
# What says where a request comes from, or who is on its way (RFC 9440 2.4), besides `_ORIGINS`.
_ORIGIN_FIELDS = frozenset((FORWARDED, b"client-cert", b"client-cert-chain", b"x-real-ip"))
_ORIGINS = b"x-forwarded-"
# What `Connection` must not be able to take away: the message's end, or a trace of loops
# (RFC 8586 2), would be lost with it.
_KEPT = frozenset((b"cdn-loop", b"content-length", b"host", b"via"))
# Of these other keys say whether they pass.
_HAVE_RULES = frozenset((X_FORWARDED_FOR, *X_FORWARDED_PROTO))
_NONE: frozenset[bytes] = frozenset()


@attrs.frozen
class ForRule:
    """What becomes of `X-Forwarded-For`: keep so many of the last addresses (None: all), append."""

    keep: int | None
    append: bool

    @classmethod
    def of(cls, words: tuple[str, ...]) -> Self | None:
        """The rule that words of the configuration make; None if the field passes as it is."""
        if not words:
            return None
        counts = [int(word.partition(":")[2]) for word in words if word != "append"]
        return cls(counts[-1] if counts else None, "append" in words)

    def value(self, headers: Headers, peer: str) -> bytes:
        """The field's new value; empty if there is to be none. `peer` is empty if unknown."""
        own = peer.encode() if self.append else b""
        if self.keep == 0:
            return own
        addresses = forwarded_addresses(headers)
        if self.keep is not None:
            addresses = addresses[-self.keep :]
        return b", ".join([*addresses, own] if own else addresses)


@attrs.frozen
class _Rules:
    """What becomes of the fields of some clients. All names and `prefixes` are by CANONICAL."""

    for_rule: ForRule | None
    dropped: frozenset[bytes]
    prefixes: tuple[bytes, ...]


class Forwarding:
    """The rules of `[forwarded]`, and which fields of clients are for nobody behind us."""

    __slots__ = (
        "_cdn",
        "_max_passes",
        "_need_mark",
        "_proto_fields",
        "_proxies",
        "_rules",
        "_via",
    )

    def __init__(
        self, settings: Forwarded, proxies: ProxiesInFront, dropped: frozenset[bytes]
    ) -> None:
        """`dropped` has further names, by CANONICAL, that no client may send to a backend."""
        self._proxies = proxies
        self._proto_fields = _PROTO_TO_SET[settings.set_x_forwarded_proto]
        self._cdn = settings.cdn_loop.encode()
        self._via = settings.via.encode()
        self._max_passes = settings.max_passes
        self._need_mark = frozenset(
            name.lower().encode() for name in settings.original_headers_need_mark
        )
        dropped |= self._replaced_fields(settings)
        # Of anybody, of known proxies, and of what is signed; then by whether there are marks.
        self._rules = tuple(
            tuple(
                _rules(settings, dropped, signed=signed, known=known, marks=marks)
                for marks in (False, True)
            )
            for signed, known in ((False, False), (False, True), (True, True))
        )

    def _replaced_fields(self, settings: Forwarded) -> frozenset[bytes]:
        names: set[bytes] = set()
        if settings.accept_x_forwarded_proto or self._proto_fields:
            names.update(X_FORWARDED_PROTO)
        if settings.accept_pushpin_route:
            names.add(PUSHPIN_ROUTE)
        if self._cdn:
            names.add(_CDN_LOOP)
        if self._via:
            names.add(_VIA)
        return frozenset(names)

    def inbound_headers(
        self,
        head: RequestHead,
        peer: str,
        scheme: str,
        *,
        trusted: bool,
        marks: bool = False,
        identity_headers: frozenset[bytes] = _NONE,
    ) -> Headers:
        """The fields of a request without those only the proxy may set, and with its own.

        `peer` is the address of the connection, `scheme` the client's; `trusted` says that
        `upstream_key` signed the request, so that its `Grip-*` stays. With `marks`, the fields of
        any other client are there once more as they came. Of proxies that are known,
        `identity_headers` (in lower case) stay. This comes before any handler acts, so that a
        client's `Connection` can't name, and so remove, what a handler has set.

        Raises ProtocolError (508) for a request that goes round in a circle.
        """
        headers = head.headers
        is_known = trusted or self._proxies.trusts(peer)
        rules = self._rules[is_known + trusted][marks]
        kept = _kept(headers, rules, identity_headers if is_known else _NONE)
        if self._via:
            kept.append((b"Via", self._own_via(headers, head.version)))
        if self._cdn:
            kept.append((b"CDN-Loop", b", ".join([*headers.get_all(_CDN_LOOP), self._cdn])))
        if self._proto_fields and scheme in ENCRYPTED:
            kept.extend((name, scheme.encode()) for name in self._proto_fields)
        if rules.for_rule is not None and (value := rules.for_rule.value(headers, peer)):
            kept.append((b"X-Forwarded-For", value))
        if marks and not trusted:
            kept.extend(self._marked(headers))
        return kept

    def _own_via(self, headers: Headers, version: bytes) -> bytes:
        """`Via` with this proxy in it (RFC 9110 7.6.3)."""
        values = headers.get_all(_VIA)
        own = version + b" " + self._via
        if not values:
            return own
        came = b", ".join(values)
        passes = sum(element.split()[1:2] == [self._via] for element in came.split(b","))
        if passes > self._max_passes:
            raise ProtocolError(508, f"Loop detected: the request was here {passes} times before.")
        return came + b", " + own

    def mark_response(self, headers: Headers) -> None:
        """Add this proxy to `Via` of a response that a backend has given."""
        if self._via:
            headers.append((b"Via", b"1.1 " + self._via))

    def _marked(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Fields as the client sent them, marked as such.

        A mark that a client sends counts only for names that need one: elsewhere it could say
        something else than the field itself, and be believed more.
        """
        marked = []
        for name, value in headers:
            lowered = name.lower()
            if lowered.startswith(MARK):
                if lowered[len(MARK) :] in self._need_mark:
                    marked.append((name, value))
            elif lowered not in self._need_mark:
                marked.append((MARK + name, value))
        return marked


def _rules(
    settings: Forwarded, dropped: frozenset[bytes], *, signed: bool, known: bool, marks: bool
) -> _Rules:
    words = settings.x_forwarded_for_trusted if known else settings.x_forwarded_for
    for_rule = ForRule.of(words)
    if for_rule is not None:
        dropped |= {X_FORWARDED_FOR}
    # What a client may not send; signed for, marks of others pass to backends that want some.
    prefixes: tuple[bytes, ...] = (b"grip-", MARK)
    if signed:
        prefixes = () if marks else (MARK,)
    if settings.drop_untrusted and not known:
        address_field = settings.client_address_header.encode().translate(CANONICAL)
        dropped |= _ORIGIN_FIELDS | ({address_field} - {X_FORWARDED_FOR})
        prefixes += (_ORIGINS,)
    return _Rules(for_rule, dropped, prefixes)


def _kept(headers: Headers, rules: _Rules, identity_headers: Container[bytes]) -> Headers:
    dropped, prefixes = rules.dropped, rules.prefixes
    named = [token.translate(CANONICAL) for token in headers.tokens(b"connection")]
    hop = [name for name in named if name not in _KEPT] if named else named
    kept = Headers()
    for field in headers:
        name = field[0].translate(CANONICAL)
        if name in dropped:
            if field[0].lower() in identity_headers:  # in no other spelling
                kept.append(field)
        elif name in hop or (name.startswith(prefixes) and name not in _HAVE_RULES):
            continue
        else:
            kept.append(field)
    return kept
