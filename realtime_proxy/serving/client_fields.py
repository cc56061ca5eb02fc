"""The fields of a backend's response as its client gets them."""

from realtime_proxy.grip.instruct import HoldMode, Instruct
from realtime_proxy.model.headers import HOP_BY_HOP, Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.forwarding import Forwarding
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.wire.http1_rules import known

NOT_FOR_CLIENTS = HOP_BY_HOP | {b"content-length"}


def relayed_fields(headers: Headers, forwarding: Forwarding) -> Headers:
    """Those of a response that is passed on."""
    return SharedHeaders.of(headers).remember(_relayed, forwarding)


def _relayed(headers: SharedHeaders, forwarding: Forwarding) -> Headers:
    named = headers.tokens(b"connection")
    shown = headers.lacking(NOT_FOR_CLIENTS.union(named) if named else NOT_FOR_CLIENTS)
    return forwarding.marked_response(shown)


def held_fields(
    instruct: Instruct, head: ResponseHead, exchange: Exchange | None, context: ServingContext
) -> Headers:
    """Those of a held response, and by what the client may renew its credential.

    `head` is the backend's, with the instructions in it.
    """
    named = head.headers.tokens(b"connection")
    hidden = NOT_FOR_CLIENTS.union(named) if named else NOT_FOR_CLIENTS
    connection_id = b"" if exchange is None else exchange.connection_id.encode()
    unbuffered = instruct.hold is HoldMode.STREAM and context.server.unbuffered_streams
    fields, forwarding = SharedHeaders.of(instruct.headers), context.forwarding
    return fields.remember_latest(_held, connection_id, hidden, unbuffered, forwarding)


def _held(
    fields: SharedHeaders,
    connection_id: bytes,
    hidden: frozenset[bytes],
    unbuffered: bool,
    forwarding: Forwarding,
) -> Headers:
    more = Headers()
    if connection_id:
        hidden |= {b"connection-id"}
        more.append((b"Connection-Id", connection_id))
    shown = fields.lacking(hidden)
    if unbuffered:
        more += _unbuffered(shown)
    return forwarding.marked_response(shown.plus(known(more)) if more else shown)


def _unbuffered(headers: Headers) -> Headers:
    """What a stream's head lacks that asks proxies on the way to pass it on as it comes.

    nginx, and what is made of it, collects responses unless it is told not to; others compress
    them, which comes to the same.
    """
    lacking = Headers()
    if not headers.has(b"x-accel-buffering"):
        lacking.append((b"X-Accel-Buffering", b"no"))
    if b"no-transform" not in headers.tokens(b"cache-control"):
        lacking.append((b"Cache-Control", b"no-transform"))
    return lacking
