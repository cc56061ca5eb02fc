"""The PROXY header that a connection begins with, received without taking what comes after it."""

import socket

import trio

from realtime_proxy.errors import ProxyHeaderError
from realtime_proxy.wire.proxy_protocol import MAX_HEADER_BYTES, ProxyHeader, read_proxy_header


async def receive_proxy_header(raw: socket.socket) -> ProxyHeader:
    """Take the header off a connected, non-blocking socket; the caller bounds the time.

    TLS or a request comes next. Raises ProxyHeaderError, or OSError when the connection is lost.
    """
    begun = b""
    while True:
        await trio.lowlevel.wait_readable(raw)
        try:
            seen = raw.recv(MAX_HEADER_BYTES - len(begun), socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not seen:
            raise ProxyHeaderError("it ended before its PROXY header was complete")
        header = read_proxy_header(begun + seen)
        # All that there is of an incomplete one is taken: else it would be told of at once again.
        taken = len(seen) if header is None else header.size - len(begun)
        begun += raw.recv(taken)
        if header is not None:
            return header
