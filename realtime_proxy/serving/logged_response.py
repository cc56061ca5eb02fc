"""A response to a request of the proxy's own, of which a record is written at its end."""

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.model.headers import Headers
from realtime_proxy.serving.request_log import LoggedRequest, RequestLog


class LoggedResponse:
    """Stands where the response stood; the record has the size of its body."""

    __slots__ = ("_log", "_record", "_response", "head", "source")

    def __init__(self, response: BackendResponse, log: RequestLog, record: LoggedRequest) -> None:
        self._response = response
        self._log = log
        self._record: LoggedRequest | None = record
        self.head = response.head
        self.source = response.source
        record.backend, record.status = response.source, response.head.status

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
        return self._counted(self._response.take())

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""
        return self._counted(await self._response.read())

    def _counted(self, part: bytes) -> bytes:
        if self._record is not None:
            self._record.body_bytes += len(part)
        return part

    def close(self) -> None:
        """Let it go; this writes the record."""
        record, self._record = self._record, None
        if record is not None:
            self._log.write(record)
        self._response.close()
