"""The clients of one worker: taken from listeners and from other workers, and let go at the end."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from random import SystemRandom

import structlog
import trio

from realtime_proxy.app.bounds import Bounds
from realtime_proxy.config.addresses import UnixAddress
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.acceptor import Acceptor
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.handover import HandedOverSocket, Parcel
from realtime_proxy.net.listeners import open_listener
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.tls import TlsCodec
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.serving.all_clients import AllClients
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.drain import FINISH_SECONDS, Drain
from realtime_proxy.serving.http_connection import HttpConnection
from realtime_proxy.serving.neighbours import Neighbours
from realtime_proxy.serving.sockjs_sessions import SockJsSessions

# While clients are let go, so often is looked whether all have left.
_LOOK_SECONDS = 0.05

log = structlog.get_logger()


class Clients:
    """Those who are connected (`open`), and those with a session of SockJS; `all` has both."""

    def __init__(
        self, timers: Timers, watcher: Watcher, bounds: Bounds, counters: Counters
    ) -> None:
        self._timers = timers
        self._watcher = watcher
        self._bounds = bounds
        self._counters = counters
        self.open: set[HttpConnection] = set()
        self.sockjs = SockJsSessions()
        self.all = AllClients(self.open, self.sockjs)
        self._on_closed = self._closed  # made once: each access makes a new object
        self._acceptors: set[Acceptor] = set()

    @property
    def peers(self) -> Iterator[str]:
        """The addresses of those who are connected."""
        return (client.peer for client in self.open)

    async def accept(
        self,
        listener: socket.socket,
        taker: Callable[[socket.socket, str], None],
        context: ServingContext,
    ) -> None:
        """Give `taker` what connects to a listener, until clients are let go."""
        acceptor = Acceptor(listener, taker, self._bounds.entrance)
        self._acceptors.add(acceptor)
        if context.drain is not None:
            acceptor.end()  # the stop was heard of first
        await acceptor.run()
        self._acceptors.remove(acceptor)

    def serve(
        self, context: ServingContext, raw: socket.socket, tls: TlsCodec | None, peer: str
    ) -> None:
        """Serve a client whose address is known, and whose TLS stands."""
        self._counters.connections += 1
        client = ClientSocket(raw, tls, self._watcher, self._bounds.backlogs)
        self._connection(context, client, peer, tls=tls is not None).begin()

    async def accept_from(self, neighbours: Neighbours, context: ServingContext) -> None:
        """Have the clients that other workers hand over, until cancelled."""
        listening = open_listener(UnixAddress(neighbours.own_path))
        taker = partial(self._take_over, context)
        await Acceptor(listening, taker, self._bounds.entrance).run()

    def _take_over(self, context: ServingContext, stream: socket.socket, _peer: str) -> None:
        async def receive(_scope: trio.CancelScope) -> None:
            try:
                parcel = await Parcel.receive(stream)
            except (OSError, ValueError) as error:
                log.error("a connection was not handed over", problem=str(error))
                self._bounds.entrance.room.leave()
                return
            self._bounds.addresses.move_in(parcel.peer)
            client = HandedOverSocket(parcel, self._watcher, self._bounds.backlogs)
            connection = self._connection(context, client, parcel.peer, tls=parcel.tls)
            connection.begin_with(parcel.data)

        context.crew.start(receive)

    def _connection(
        self, context: ServingContext, client: ClientSocket, peer: str, *, tls: bool
    ) -> HttpConnection:
        connection = HttpConnection(context, client, peer, tls=tls, on_closed=self._on_closed)
        self.open.add(connection)
        return connection

    def _closed(self, connection: HttpConnection) -> None:
        self.open.discard(connection)
        self._bounds.left(connection.peer)

    # -- the end ---------------------------------------------------------------------------

    async def let_go(self, context: ServingContext, seconds: float) -> None:
        """Take no new ones, and let those go that are held over so many seconds.

        Back when all have left, or when that takes much longer.
        """
        if self.open:
            log.info("draining", connections=len(self.open), seconds=seconds)
        drain = context.drain = Drain(self._timers, seconds, SystemRandom())
        for acceptor in self._acceptors:
            acceptor.end()
        drain.begin(list(self.all))
        with trio.move_on_after(seconds + FINISH_SECONDS):
            await trio.sleep(_LOOK_SECONDS)  # accepting may be just about to begin
            # Backends are still told of clients that have left.
            while self._acceptors or self.all.are_there or context.crew.at_work:  # noqa: ASYNC110
                await trio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Close every one's connection."""
        for client in list(self.all):
            client.close(CloseReason.SHUTDOWN)
