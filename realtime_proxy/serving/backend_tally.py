"""What goes to a backend and comes from it, counted while somebody wants to know."""

from collections.abc import Callable

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import BackendError
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.serving.counted_response import CountedResponse


class BackendTally:
    """One request to a backend, from now on."""

    def __init__(self, tally: Tally, route_id: str, now: Callable[[], float]) -> None:
        self._tally = tally
        self._route_id = route_id
        self._now = now
        self._begun_at = now()

    def asked(self, head: RequestHead, body_bytes: int) -> None:
        """A head goes out, and what there is of the body."""
        traffic = self._tally.route(self._route_id)
        traffic.server_header_bytes_sent += request_head_bytes(head)
        traffic.server_content_bytes_sent += body_bytes

    def failed(self, error: BackendError) -> None:
        """There is no response."""
        failures = self._tally.route(self._route_id).backend_failures
        failures[error.kind] = failures.get(error.kind, 0) + 1

    def answered(self, response: BackendResponse) -> BackendResponse:
        """The response, whose body is counted from here on."""
        traffic = self._tally.route(self._route_id)
        traffic.backend_seconds.observe(self._now() - self._begun_at)
        traffic.server_header_bytes_received += response_head_bytes(response.head)
        return CountedResponse(response, self._received)

    def _received(self, size: int) -> None:
        self._tally.route(self._route_id).server_content_bytes_received += size


def request_head_bytes(head: RequestHead) -> int:
    """The size of a request head as statistics estimate it: without separators."""
    return len(head.method) + len(head.target) + _field_bytes(head.headers)


def response_head_bytes(head: ResponseHead) -> int:
    """The size of a response head as statistics estimate it: without separators."""
    return 3 + len(head.reason) + _field_bytes(head.headers)


def _field_bytes(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)
