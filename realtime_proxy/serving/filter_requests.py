"""The requests of filters, for all held clients of a worker: paced, limited in time and size."""

import ssl
from typing import TYPE_CHECKING

import trio

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import (
    BackendError,
    BackendTimeout,
    BackendUnreachable,
    FilterError,
    ProtocolError,
)
from realtime_proxy.grip.http_filter import MAX_CONTENT_BYTES, FilterReply, FilterRequest
from realtime_proxy.model.uri import Uri
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.paced_line import PacedLine

if TYPE_CHECKING:
    from realtime_proxy.serving.errand import Errand

TIMEOUT_SECONDS = 10.0
# 100 a second (filters.md F-8.10), evenly.
_AT_ONCE = 10
_PERIOD_SECONDS = 0.1


class FilterRequests:
    """Sends them, each URL in its turn."""

    def __init__(self, timers: Timers) -> None:
        self._line = PacedLine(timers, _AT_ONCE, _PERIOD_SECONDS)

    async def ask(self, errand: "Errand | None", request: FilterRequest) -> FilterReply:
        """The reply to a filter's request, on behalf of a hold. Raises FilterError.

        Without an errand, what the hold's client asked for is no URI that others go by.
        """
        try:
            if errand is None:
                raise ValueError("nothing to go by")
            uri = errand.held.resolve(request.url)
        except ValueError:
            raise FilterError("invalid url value") from None
        await self._line.turn(str(uri))
        try:
            with trio.fail_after(TIMEOUT_SECONDS):
                return await _reply(errand, uri, request)
        except (trio.TooSlowError, BackendError, ProtocolError) as error:
            raise FilterError(f"network request failed: {_failure(error)}") from error


async def _reply(errand: "Errand", uri: Uri, request: FilterRequest) -> FilterReply:
    response = await errand.ask(b"POST", uri, request.headers, request.body)
    try:
        head = response.head
        return FilterReply(head.status, head.headers.get(b"action"), await _body(response))
    finally:
        response.close()


async def _body(response: BackendResponse) -> bytes:
    """The body; cut soon after the limit."""
    body = response.take()
    while not response.complete and len(body) <= MAX_CONTENT_BYTES:
        body += await response.read()
    return body


def _failure(error: trio.TooSlowError | BackendError | ProtocolError) -> str:
    """What became of a request, in the words that GRIP has for it (filters.md F-8.9)."""
    match error:
        case trio.TooSlowError() | BackendTimeout():
            return "request timed out"
        case BackendUnreachable():
            if isinstance(error.__cause__, ssl.SSLError):
                return "tls error"
            return "connection timed out" if error.status == 504 else "connection refused"
        case BackendError():
            return "disconnected"
    return "general error"
