"""A response to a request of the proxy's own, of which a record is written at its end."""

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.serving.counted_response import CountedResponse
from realtime_proxy.serving.request_log import LoggedRequest, RequestLog


class LoggedResponse(CountedResponse):
    """Passes a response on as it is; the record has the size of its body."""

    __slots__ = ("_log", "_record")

    def __init__(self, response: BackendResponse, log: RequestLog, record: LoggedRequest) -> None:
        def received(size: int) -> None:
            record.body_bytes += size

        super().__init__(response, received)
        self._log = log
        self._record: LoggedRequest | None = record
        record.backend, record.status = response.source, response.head.status

    def close(self) -> None:
        """Let it go; this writes the record."""
        record, self._record = self._record, None
        if record is not None:
            self._log.write(record)
        super().close()
