"""What the clients of a worker may use together: `docs/operations.md` lists every limit."""

import socket
from collections.abc import Iterable

from realtime_proxy.config.schema import Config
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.acceptor import Entrance, Room
from realtime_proxy.net.address_limit import AddressLimit
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.descriptors import Descriptors
from realtime_proxy.net.tcp_options import TcpOptions
from realtime_proxy.routing.proxies_in_front import known_proxies

# So much later than we the kernel gives clients up: it does not say that they were too slow.
_KERNEL_GRACE_SECONDS = 5.0


class Bounds:
    """The limits of one worker, as configured, and what is in use of them."""

    def __init__(self, config: Config, counters: Counters) -> None:
        room = Room(config.server.max_connections, counters)
        self.entrance = Entrance(room, Descriptors(counters))
        self.addresses = AddressLimit(counters)
        self.backlogs = Backlogs(counters)
        self.unsent = Backlogs(Counters())  # of backends: those are not clients that are cut
        self._listeners: list[socket.socket] = []
        self.adopt(config, ())

    def adopt(self, config: Config, peers: Iterable[str]) -> None:
        """Go by this configuration; `peers` are the addresses of those who are connected."""
        server = config.server
        backlogs, unsent = self.backlogs, self.unsent
        self.entrance.room.resize(server.max_connections)
        trusted = known_proxies(config.forwarded.trusted_proxies)
        self.addresses.adopt(server.max_connections_per_address, trusted, peers)
        backlogs.max_bytes = server.max_backlog_bytes
        backlogs.max_total_bytes = server.max_total_backlog_bytes
        # A client is not read while anything waits for its backend: one read may come to this.
        sizes = [route.max_message_bytes or 0 for route in config.route]
        largest_message = max([server.max_message_bytes, *sizes])
        unsent.max_bytes = largest_message + server.max_backlog_bytes
        backlogs.max_seconds = unsent.max_seconds = server.max_backlog_seconds
        self._options = TcpOptions(
            server.max_unsent_bytes,
            server.send_buffer_bytes,
            server.tcp_keepalive_seconds,
            server.max_backlog_seconds + _KERNEL_GRACE_SECONDS,
        )
        for listener in self._listeners:
            self._options.apply(listener)

    def govern(self, listener: socket.socket) -> None:
        """Have clients of a listener begin with the options that are configured."""
        self._listeners.append(listener)
        self._options.apply(listener)

    def left(self, peer: str) -> None:
        """A client of this address is gone."""
        self.addresses.leave(peer)
        self.entrance.room.leave()

    def look(self, now: float) -> None:
        """See whether anybody takes too long. To be called about once a second."""
        self.backlogs.look(now)
        self.unsent.look(now)
        self.entrance.room.settle()
