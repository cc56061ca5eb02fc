"""A client that is here: with an HTTP request, however long it is held, or with a WebSocket."""

import attrs

from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.metrics.tallied import Visit


@attrs.define(eq=False, weakref_slot=False)
class Presence:
    """What is counted of one client until it leaves; each open connection has its own at most.

    `name` is the number of an HTTP request, or the id of a WebSocket. The moments at which it is
    looked at again are shared by all that came at the same time, as is all else but itself.
    """

    route: RouteTally
    _name: int | bytes
    _peer: str
    _is_tls: bool
    minute_at: float
    refresh_at: float
    has_traffic: bool = attrs.field(default=False, init=False)
    _held: str = attrs.field(default="", init=False)

    def visit(self, sender: str) -> Visit:
        """As it is told to others; `sender` names this process."""
        name, is_websocket = self._name, isinstance(self._name, bytes)
        return Visit(
            name.decode() if isinstance(name, bytes) else f"{sender}:{name}",
            self.route.name,
            "ws" if is_websocket else "http",
            self._peer,
            self._is_tls,
        )

    def hold(self, kind: str) -> None:
        """What the client came for is held from now on."""
        if not self._held:
            self._held = kind
            held = self.route.held
            held[kind] = held.get(kind, 0) + 1
            self.route.tally.changed()

    def release(self) -> None:
        """It is held no longer."""
        if self._held:
            self.route.held[self._held] -= 1
            self._held = ""
            self.route.tally.changed()

    def end(self) -> None:
        """Whatever the client came for is over."""
        route = self.route
        if self._held:
            route.held[self._held] -= 1
            self._held = ""
        route.connections -= 1
        route.tally.ended(self)
