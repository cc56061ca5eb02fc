"""A response whose body is counted as it is taken."""

from collections.abc import Callable

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.model.headers import Headers


class CountedResponse:
    """Stands where the response stood."""

    __slots__ = ("_received", "_response", "head", "source")

    def __init__(self, response: BackendResponse, received: Callable[[int], None]) -> None:
        """`received` is called with the size of each part of the body."""
        self._response = response
        self._received = received
        self.head = response.head
        self.source = response.source

    @property
    def length(self) -> int | None:
        """The length of the body if it is known before it has been read."""
        return self._response.length

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once the body is complete."""
        return self._response.trailers

    @property
    def complete(self) -> bool:
        """True once the whole body has been given out."""
        return self._response.complete

    def take(self) -> bytes:
        """What of the body is here already. Raises BackendError."""
        part = self._response.take()
        self._received(len(part))
        return part

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""
        part = await self._response.read()
        self._received(len(part))
        return part

    def close(self) -> None:
        """Done with it."""
        self._response.close()
