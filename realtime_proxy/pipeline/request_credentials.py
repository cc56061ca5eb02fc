"""Where requests carry credentials: arguments of the query, cookies, offered subprotocols."""

import itertools
from collections.abc import Collection, Iterator
from urllib.parse import unquote_to_bytes

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead


def arguments(target: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and text as written of each argument of a target's query."""
    query = target.partition(b"?")[2]
    for written in query.split(b"&") if query else ():
        name, _, value = written.replace(b"+", b" ").partition(b"=")
        yield unquote_to_bytes(name), unquote_to_bytes(value), written


def target_without(target: bytes, names: Collection[bytes]) -> bytes:
    """The target without the named arguments; the others keep their order and spelling."""
    found = list(arguments(target))
    kept = [text for name, _, text in found if name not in names]
    if len(kept) == len(found):
        return target
    path = target.partition(b"?")[0]
    return path + b"?" + b"&".join(kept) if kept else path


def cookies(headers: Headers) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and text as written of each cookie."""
    for line in headers.get_all(b"cookie"):
        for written in line.split(b";"):
            name, _, value = written.strip().partition(b"=")
            yield name.strip(), value.strip().removeprefix(b'"').removesuffix(b'"'), written


def headers_without_cookies(headers: Headers, names: Collection[bytes]) -> Headers:
    """Headers without the named cookies; untouched if there are none of them."""
    found = list(cookies(headers))
    kept = [text.strip() for name, _, text in found if name not in names]
    if len(kept) == len(found):
        return headers
    return headers.replaced(b"Cookie", b"; ".join(kept)) if kept else headers.without({b"cookie"})


def subprotocols(headers: Headers) -> list[bytes]:
    """The WebSocket subprotocols that a client offers, as it writes them."""
    lines = headers.get_all(b"sec-websocket-protocol")
    return [part for line in lines for one in line.split(b",") if (part := one.strip())]


def bearer_of_subprotocols(headers: Headers, marker: bytes) -> bytes | None:
    """The token that follows the marker among offered subprotocols, or None.

    A page can give no other header to a WebSocket: `new WebSocket(url, ["bearer", token])`.
    """
    offered = subprotocols(headers)
    for name, value in itertools.pairwise(offered):
        if name.lower() == marker:
            return value
    return None


def headers_without_bearer(headers: Headers, marker: bytes) -> Headers:
    """Headers without the marker and the token behind it among the offered subprotocols."""
    offered = subprotocols(headers)
    at = next((i for i, name in enumerate(offered) if name.lower() == marker), None)
    if at is None:
        return headers
    kept = offered[:at] + offered[at + 2 :]
    name = b"Sec-WebSocket-Protocol"
    return headers.replaced(name, b", ".join(kept)) if kept else headers.without({name.lower()})


def is_preflight(request: RequestHead) -> bool:
    """True for what a browser sends to ask whether a page may send something (CORS)."""
    # OPTIONS alone would open more than is meant.
    return request.method == b"OPTIONS" and request.headers.has(b"access-control-request-method")
