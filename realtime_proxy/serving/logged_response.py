"""A response to a request of the proxy's own, of which a record is written at its end."""

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.model.headers import Headers
from realtime_proxy.serving.request_log import LoggedRequest, RequestLog


class LoggedResponse:
    """Passes a response on as it is, and counts its body."""

    __slots__ = ("_log", "_record", "_response", "head", "length", "source")

    def __init__(self, response: BackendResponse, log: RequestLog, record: LoggedRequest) -> None:
        self.head = response.head
        self.source = response.source
        self.length = response.length
        self._response = response
        self._log = log
        self._record: LoggedRequest | None = record
        record.backend, record.status = response.source, response.head.status

    @property
    def trailers(self) -> Headers:
        """Fields after the body, once it is complete."""
        return self._response.trailers

    @property
    def complete(self) -> bool:
        """True once the whole body is taken."""
        return self._response.complete

    def take(self) -> bytes:
        """What of the body is here already."""
        return self._counted(self._response.take())

    async def read(self) -> bytes:
        """More of the body, waited for."""
        return self._counted(await self._response.read())

    def _counted(self, data: bytes) -> bytes:
        if self._record is not None:
            self._record.body_bytes += len(data)
        return data

    def close(self) -> None:
        """Let it go; this writes the record."""
        record, self._record = self._record, None
        if record is not None:
            self._log.write(record)
        self._response.close()
