"""Requests for next links: those that are the same share one while it is under way."""

from typing import TYPE_CHECKING

import attrs
import trio

from realtime_proxy.backend.response import BackendResponse, LocalResponse
from realtime_proxy.errors import BackendError, BackendMisbehaved
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.recovery_room import RecoveryRoom

if TYPE_CHECKING:
    from realtime_proxy.serving.errand import Errand

# A longer answer is not kept for others: its first asker passes it on as it comes.
MAX_SHARED_BYTES = 100_000

# A URI leads to the route's targets or elsewhere, which depends on what was asked for first. The
# route is that very object: several may have the same id.
_Key = tuple[int, tuple[str, str, int], str, tuple[str, ...]]


@attrs.frozen
class LinkRequest:
    """A link to fetch. `last_ids` are elements of `Grip-Last`; `asked_at` as the timers have it.

    `urgent`: a client misses something until it is answered.
    """

    uri: str
    last_ids: tuple[str, ...]
    asked_at: float
    urgent: bool


class _Flight:
    """A request under way, and who else waits for its answer."""

    __slots__ = ("answer", "ended", "failure", "followers", "is_long", "sent_at")

    def __init__(self) -> None:
        self.sent_at: float | None = None
        self.followers = 0
        self.ended = trio.Event()
        self.answer: Response | None = None
        self.failure = ""
        self.is_long = False

    def may_join(self, asked_at: float) -> bool:
        """False for who asks because of something newer than what the backend was asked."""
        return self.sent_at is None or asked_at <= self.sent_at


class LinkRequests:
    """Fetches links for all streams of a worker."""

    def __init__(self, timers: Timers, room: RecoveryRoom) -> None:
        self._timers = timers
        self._room = room
        self._flights: dict[_Key, _Flight] = {}

    async def fetch(self, errand: "Errand", request: LinkRequest) -> BackendResponse:
        """The response to a link. Raises BackendError, also if it is none of success."""
        if errand.changes_requests:  # for the very client, so the answer is for nobody else
            return await self._ask(errand, request, _Flight())
        key = (id(errand.route), errand.held.origin, request.uri, request.last_ids)
        while (flight := self._flights.get(key)) and flight.may_join(request.asked_at):
            flight.followers += 1
            await flight.ended.wait()
            if flight.failure:
                raise BackendMisbehaved(flight.failure)
            if flight.answer is not None:
                return LocalResponse(flight.answer, request.uri)
            if flight.is_long:
                return await self._ask(errand, request, _Flight())
        return await self._lead(errand, request, key)

    async def _lead(self, errand: "Errand", request: LinkRequest, key: _Key) -> BackendResponse:
        flight = self._flights[key] = _Flight()
        try:
            response = await self._ask(errand, request, flight)
            if not flight.followers:
                return response
            return await _shared(response, flight)
        except BackendError as error:
            flight.failure = str(error)
            raise
        finally:
            # If this task was cancelled, one of those that wait asks in its place.
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.ended.set()

    async def _ask(
        self, errand: "Errand", request: LinkRequest, flight: _Flight
    ) -> BackendResponse:
        uri = Uri.parse(request.uri)
        headers = Headers((b"Grip-Last", last_id.encode()) for last_id in request.last_ids)
        line = request.uri.partition("?")[0]
        async with self._room.turn(line, urgent=request.urgent):
            flight.sent_at = self._timers.now()
            response = await errand.follow(b"GET", uri, headers)
        if not 200 <= response.head.status < 300:
            response.close()
            raise BackendMisbehaved(f"{uri.without_query()} answered {response.head.status}")
        return response


async def _shared(response: BackendResponse, flight: _Flight) -> BackendResponse:
    """The same response; all of it for others, too, if it is short."""
    try:
        body = response.take()
        while not response.complete and len(body) <= MAX_SHARED_BYTES:
            body += await response.read()
    except BaseException:
        response.close()
        raise
    if not response.complete:
        flight.is_long = True
        return _Begun(body, response)
    response.close()
    head = response.head
    flight.answer = Response(head.status, head.headers, body, head.reason)
    return LocalResponse(flight.answer, response.source)


class _Begun:
    """A response of whose body something has been taken before."""

    __slots__ = ("_begun", "_response", "head", "length", "source")

    def __init__(self, begun: bytes, response: BackendResponse) -> None:
        self.head = response.head
        self.source = response.source
        self.length = response.length
        self._begun = begun
        self._response = response

    @property
    def trailers(self) -> Headers:
        return self._response.trailers

    @property
    def complete(self) -> bool:
        return not self._begun and self._response.complete

    def take(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun or self._response.take()

    async def read(self) -> bytes:
        return self.take() or await self._response.read()

    def close(self) -> None:
        self._response.close()
