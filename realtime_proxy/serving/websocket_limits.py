"""What WebSocket clients of a route may do, and how long they may take."""

import attrs

from realtime_proxy.config.route_section import Route
from realtime_proxy.config.server_section import Server
from realtime_proxy.sessions.silence import SilenceRules


@attrs.frozen
class WebSocketLimits:
    """The limits of a route's WebSockets. 0 is none, of frames that of messages."""

    max_message_bytes: int
    max_frame_bytes: int
    handshake_seconds: float
    silence: SilenceRules

    @classmethod
    def of(cls, route: Route, server: Server) -> "WebSocketLimits":
        """Those of a route, where it has its own, else those of all."""

        def chosen(own: float | None, of_all: float) -> float:
            return of_all if own is None else own

        return cls(
            int(chosen(route.max_message_bytes, server.max_message_bytes)),
            int(chosen(route.max_frame_bytes, server.max_frame_bytes)),
            chosen(route.websocket_handshake_seconds, server.websocket_handshake_seconds),
            SilenceRules(
                chosen(route.websocket_ping_seconds, server.websocket_ping_seconds),
                chosen(route.websocket_pong_seconds, server.websocket_pong_seconds),
            ),
        )
