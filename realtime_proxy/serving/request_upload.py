"""The body of a request on its way to the backend, while the response may come already."""

from collections.abc import Awaitable, Callable

import trio

from realtime_proxy.backend.connection import BackendConnection
from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    GripError,
    OverloadError,
    ProtocolError,
)
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.request_body import RequestBody
from realtime_proxy.serving.upstream import BackendRequest

_FAILURES = (ProtocolError, BackendError, GripError, OverloadError, trio.BrokenResourceError)


class RequestUpload:
    """Passes a body on as it arrives, beside the work on the response."""

    __slots__ = ("_body", "_connection", "_failure", "_is_over", "_nursery", "_request", "_sent")

    def __init__(
        self, request: BackendRequest, body: RequestBody, sent: Callable[[int], None]
    ) -> None:
        """`sent` is called with the size of each part that has left."""
        self._request = request
        self._body = body
        self._sent = sent
        self._nursery: trio.Nursery | None = None
        self._connection: BackendConnection | None = None  # until the last byte is sent
        self._is_over = trio.Event()
        self._failure: Exception | None = None

    @property
    def is_under_way(self) -> bool:
        """True while a backend's connection is owed more of the body."""
        return self._connection is not None

    async def beside(self, work: Callable[[], Awaitable[After]]) -> After:
        """Do the work, with the upload beside it from `begin` on; both end with it.

        Raises what the work raises, or else what has kept the body from arriving.
        """
        after, failure = After.CLOSE, None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                after = await work()
            except _FAILURES as error:
                failure = error  # raised below: a nursery would wrap it
            nursery.cancel_scope.cancel()
        self._nursery = None
        if self._connection is not None:  # its request has no end: it must not carry another
            self._connection.close()
        if self._failure is not None:
            raise self._failure
        if failure is not None:
            raise failure
        return after

    def begin(self, connection: BackendConnection) -> None:
        """Send the body there, whose head has left."""
        if self._nursery is not None:
            self._connection = connection
            self._nursery.start_soon(self._upload, connection)

    async def finish(self) -> None:
        """Wait for the whole body to be sent: a hold may have to repeat it.

        Raises BackendMisbehaved if the rest of it never will be.
        """
        if not self._body.complete:
            await self._is_over.wait()
            if not self._body.complete:
                raise BackendMisbehaved("answered before the request was complete")

    async def _upload(self, connection: BackendConnection) -> None:
        request, body = self._request, self._body
        try:
            while not body.complete:
                part = await body.read()
                data = request.framed(part) if request.chunked else part
                if data:
                    await connection.send(data)
                    self._sent(len(part))
            self._connection = None
            connection.owes_body = False
        except BackendError:
            return  # a backend may answer without reading everything; its response decides
        except (ProtocolError, trio.BrokenResourceError) as error:
            self._failure = error
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()
        finally:
            self._is_over.set()
