"""What of a client's fields backends get, and what they are told of the client.

Made when a configuration is loaded: what needs no look at a request is decided here once.
"""

from functools import lru_cache, partial
from typing import Self

import attrs

from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import CANONICAL, Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.shared_headers import KnownHeaders, SharedHeaders
from realtime_proxy.routing.proxies_in_front import (
    ENCRYPTED,
    FORWARDED,
    PUSHPIN_ROUTE,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    ProxiesInFront,
    forwarded_addresses,
)
from realtime_proxy.wire.http1_rules import known

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
_TELL_OF_WAY = frozenset((_CDN_LOOP, _VIA, X_FORWARDED_FOR))
_MAX_WAYS = 1_000  # on which requests came lately, for what is said of them
_MAX_SPELLINGS = 1_000  # whose fate is known; clients send any name they like,
_MAX_SPELLING_BYTES = 64  # and as long as heads may be


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


# What becomes of a field, by its name: kept unless `Connection` names it; dropped unless it tells
# of an identity and a known proxy sends it; dropped whoever sends it.
_KEEP, _OURS, _DROP = range(1, 4)


@attrs.frozen(eq=False)
class _Rules:
    """What becomes of the fields of some clients. All names and `prefixes` are by CANONICAL."""

    for_rule: ForRule | None
    dropped: frozenset[bytes]
    prefixes: tuple[bytes, ...]
    # By names as they are written, which clients do in few ways.
    fates: dict[bytes, int] = attrs.field(factory=dict, init=False)

    def judge(self, name: bytes) -> int:
        """What becomes of fields with this name, from now on found in `fates` if it is short."""
        fate = self._fate_of(name.translate(CANONICAL))
        if len(name) <= _MAX_SPELLING_BYTES:
            if len(self.fates) >= _MAX_SPELLINGS:
                self.fates.clear()
            self.fates[name] = fate
        return fate

    def _fate_of(self, name: bytes) -> int:
        if name in self.dropped:
            return _OURS
        if name.startswith(self.prefixes) and name not in _HAVE_RULES:
            return _DROP
        return _KEEP


# How a request has come, as far as fields tell of it: its rules, version, peer and scheme.
_Way = tuple[_Rules, bytes, str, str]


class Forwarding:
    """The rules of `[forwarded]`, and which fields of clients are for nobody behind us."""

    __slots__ = (
        "_added_to_none",
        "_cdn",
        "_max_passes",
        "_need_mark",
        "_proto_fields",
        "_proxies",
        "_rules",
        "_via",
        "_via_back",
    )

    def __init__(
        self, settings: Forwarded, proxies: ProxiesInFront, dropped: frozenset[bytes]
    ) -> None:
        """`dropped` has further names, by CANONICAL, that no client may send to a backend."""
        self._proxies = proxies
        self._proto_fields = _PROTO_TO_SET[settings.set_x_forwarded_proto]
        self._cdn = settings.cdn_loop.encode()
        self._via = settings.via.encode()
        self._via_back = known(Headers([(b"Via", b"1.1 " + self._via)]))
        self._max_passes = settings.max_passes
        self._need_mark = frozenset(
            name.lower().encode() for name in settings.original_headers_need_mark
        )
        self._added_to_none = lru_cache(_MAX_WAYS)(partial(self._added, Headers()))
        dropped |= self._replaced_fields(settings)
        # Of anybody, of known proxies, and of what is signed; then by whether there are marks.
        self._rules = tuple(
            tuple(
                _rules(settings, dropped, signed=signed, known=is_known, marks=marks)
                for marks in (False, True)
            )
            for signed, is_known in ((False, False), (False, True), (True, True))
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
    ) -> SharedHeaders:
        """The fields of a request without those only the proxy may set, and with its own.

        `peer` is the address of the connection, `scheme` the client's; `trusted` says that
        `upstream_key` signed the request, so that its `Grip-*` stays. With `marks`, the fields of
        any other client are there once more as they came. Of proxies that are known,
        `identity_headers` (in lower case) stay. This comes before any handler acts, so that a
        client's `Connection` can't name, and so remove, what a handler has set.

        Raises ProtocolError (508) for a request that goes round in a circle.
        """
        is_known = trusted or self._proxies.trusts(peer)
        rules = self._rules[is_known + trusted][marks]
        identity = identity_headers if is_known else _NONE
        came = SharedHeaders.of(head.headers)
        way = (rules, head.version, peer, scheme)
        return came.remember_latest(self._inbound, way, identity, marks and not trusted)

    def _inbound(
        self, came: SharedHeaders, way: _Way, identity: frozenset[bytes], is_marked: bool
    ) -> SharedHeaders:
        kept, tells_of_way = came.remember(_kept, way[0], identity)
        # Most clients say nothing of it, so that those of one peer get the same.
        own = self._added(came, way) if tells_of_way else self._added_to_none(way)
        if is_marked:
            return kept.plus(own, came.remember(self._marked))
        return kept.plus(own) if own else kept

    def _added(self, came: Headers, way: _Way) -> KnownHeaders:
        """What is said of the way of a request, with what the client has said of it."""
        rules, version, peer, scheme = way
        own = Headers()
        if self._via:
            own.append((b"Via", self._own_via(came, version)))
        if self._cdn:
            own.append((b"CDN-Loop", b", ".join([*came.get_all(_CDN_LOOP), self._cdn])))
        if self._proto_fields and scheme in ENCRYPTED:
            own.extend((name, scheme.encode()) for name in self._proto_fields)
        if rules.for_rule is not None and (value := rules.for_rule.value(came, peer)):
            own.append((b"X-Forwarded-For", value))
        return known(own)

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

    def marked_response(self, headers: Headers) -> Headers:
        """The fields of a response that a backend has given, with this proxy in `Via`."""
        return SharedHeaders.of(headers).plus(self._via_back) if self._via else headers

    def _marked(self, headers: SharedHeaders) -> SharedHeaders:
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
        return known(Headers(marked))


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


def _kept(
    came: SharedHeaders, rules: _Rules, identity: frozenset[bytes]
) -> tuple[SharedHeaders, bool]:
    """Those of the fields that a backend gets, whoever the peer is.

    And if there are others in which proxies say who has passed the request on.
    """
    tells_of_way = False
    hop = _named(came, rules) if came.has(b"connection") else ()
    kept, fates = [], rules.fates
    for field in came:
        fate = fates.get(field[0]) or rules.judge(field[0])
        if fate == _KEEP:
            if not hop or field[0].translate(CANONICAL) not in hop:
                kept.append(field)
        elif fate == _OURS:
            name = field[0].lower()
            if name in identity:  # in no other spelling
                kept.append(field)
            tells_of_way = tells_of_way or name in _TELL_OF_WAY
    return came.subset(kept), tells_of_way


def _named(came: SharedHeaders, rules: _Rules) -> list[bytes]:
    """What `Connection` takes away besides the fields that go anyway."""
    named = [token.translate(CANONICAL) for token in came.tokens(b"connection")]
    return [name for name in named if name not in _KEPT and name not in rules.dropped]
