"""The body of a request as handlers may look into it (`pipeline.RequestContent`)."""

import trio

from realtime_proxy.errors import ProtocolError
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.request_body import RequestBody


class PeekedContent:
    """It is there while handlers are asked."""

    def __init__(self, body: RequestBody, exchange: Exchange, *, chunked: bool) -> None:
        """`chunked`: that is how the backend gets it, whatever its length."""
        self._body = body
        self._exchange = exchange
        self._chunked = chunked
        self._failure: ProtocolError | trio.BrokenResourceError | None = None

    async def read(self, max_bytes: int) -> bytes | None:
        """All of it; None if it has more bytes, or does not arrive."""
        try:
            return await self._body.peek(max_bytes)
        except (ProtocolError, trio.BrokenResourceError) as error:
            self._failure = error
            return None

    def replace(self, body: bytes) -> None:
        """Have the backend get another one."""
        self._body.replace(body)
        request = self._exchange.request
        if not self._chunked:
            request.headers = request.headers.replaced(b"Content-Length", b"%d" % len(body))

    def check(self) -> None:
        """Raise what has kept the body from arriving."""
        if self._failure is not None:
            raise self._failure
