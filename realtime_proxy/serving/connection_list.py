"""The connections of a worker, looked through when operators ask: to list some, to end some.

Nobody keeps a list for that: descriptors are gone through in their order, and then the numbers of
SockJS sessions, so that a listing can go on where it was, and others run in between.
"""

import time
from collections.abc import Iterator

import structlog
import trio

from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.listed_connection import ConnectionPage, ListedConnection
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.serving.client_exchange import ClientExchange
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.http_connection import HttpConnection
from realtime_proxy.serving.over_http_connection import OverHttpConnection
from realtime_proxy.serving.response_hold import ResponseHold
from realtime_proxy.serving.stream_hold import StreamHold
from realtime_proxy.serving.websocket_hold import WebSocketHold
from realtime_proxy.serving.websocket_upgrade import WebSocketUpgrade

# So many before others have their turn, by what each costs: 1 µs to be passed over, 10 to be
# listed, 50 to be ended.
_SLICE = 5_000
_LISTED_WEIGHT = 10
_ENDED_WEIGHT = 50
# A page may end early, so that an answer does not wait for a rare match among very many.
MAX_LOOKED_AT = 20_000

Subject = HeldClient | ClientExchange

log = structlog.get_logger()


class ConnectionList:
    """What is held and what is worked on. Implements `inputs.overview.Inspector`."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context

    async def page(self, which: ConnectionFilter, after: int, limit: int) -> ConnectionPage:
        """Some of the connections meant, in the order of their numbers."""
        found: list[ListedConnection] = []
        weight, last = 0, after
        for looked_at, (number, subject) in enumerate(self._subjects(after)):
            if looked_at >= MAX_LOOKED_AT:
                return ConnectionPage(found, last)
            if self._is_meant(subject, which):
                if len(found) >= limit:
                    return ConnectionPage(found, last)
                found.append(self._listed(subject, number))
                weight += _LISTED_WEIGHT
            last = number
            weight = await _pause_after(weight + 1)
        return ConnectionPage(found, None)

    async def dismiss(self, which: ConnectionFilter, dismissal: Dismissal) -> int:
        """End the connections meant; how many there were."""
        count, weight = 0, 0
        for _, subject in self._subjects():
            if self._is_meant(subject, which):
                count += 1
                self._end(subject, dismissal)
                weight += _ENDED_WEIGHT
            weight = await _pause_after(weight + 1)
        return count

    def _end(self, subject: Subject, dismissal: Dismissal) -> None:
        try:
            subject.dismiss(dismissal)
        except Exception:
            # A defect met on one connection must not keep the others.
            log.exception("connection failed while it was ended")

    def _subjects(self, after: int = -1) -> Iterator[tuple[int, Subject]]:
        roll = self._context.roll
        for number, watched in self._context.watcher.watched(after):
            if not isinstance(watched, ClientSocket):
                continue
            connection = watched.owner
            if not isinstance(connection, HttpConnection):
                continue
            held = connection.held_client
            if held is not None:
                if held.connection.socket.number == number:  # else it is a session's, see below
                    yield number, held
            elif roll is not None and (running := roll.running(number)) is not None:
                yield number, running
        for session in list(self._context.sockjs):
            held = session.held_client
            if held is not None and session.number > after:
                yield session.number, held

    # -- one connection --------------------------------------------------------------------

    def _is_meant(self, subject: Subject, which: ConnectionFilter) -> bool:
        return (
            (which.route is None or _route(subject) == which.route)
            and (which.kind is None or _kind(subject) == which.kind)
            and (which.consumer is None or _consumer(subject) == which.consumer)
            and (which.channel is None or which.channel in subject.channels)
            and (which.id is None or self._id(subject) == which.id)
        )

    def _listed(self, subject: Subject, number: int) -> ListedConnection:
        roll = self._context.roll
        arrival = None if roll is None else roll.arrival(number)
        connection = subject.connection
        identity = subject.identity
        now = time.time()
        return ListedConnection(
            id=self._id(subject),
            worker=0,
            kind=_kind(subject),
            route=_route(subject),
            client_address=connection.peer if arrival is None else arrival.client_address,
            consumer=_consumer(subject),
            channels=list(subject.channels),
            uri="" if arrival is None else self._context.request_log.shown(arrival.uri),
            opened_at=0.0 if arrival is None else round(arrival.opened_at, 3),
            age_seconds=0.0 if arrival is None else round(max(0.0, now - arrival.opened_at), 3),
            bytes_sent=connection.socket.bytes_sent,
            messages_sent=subject.group_messages
            + (0 if arrival is None else arrival.messages_sent),
            backlog_bytes=connection.socket.backlog_bytes,
            expires_at=None if identity is None else identity.expires_at,
        )

    def _id(self, subject: Subject) -> str:
        if isinstance(subject, WebSocketHold):
            return subject.id
        if isinstance(subject, WebSocketUpgrade):
            return subject.id
        return f"{self._context.connections.sender}:{subject.connection.request_number}"


async def _pause_after(weight: int) -> int:
    """Let others run if so much has been done; how much has been done since they did."""
    if weight < _SLICE:
        return weight
    await trio.lowlevel.checkpoint()
    return 0


def _route(subject: Subject) -> str:
    route = subject.route
    return "" if route is None else route.id


def _consumer(subject: Subject) -> str | None:
    identity = subject.identity
    return None if identity is None else identity.consumer


def _kind(subject: Subject) -> str:
    match subject:
        case StreamHold():
            return "sse" if subject.has_events else "http-stream"
        case ResponseHold():
            return "response"
        case OverHttpConnection():
            return "websocket-over-http"
        case WebSocketHold():
            return "websocket"
    return "request"
