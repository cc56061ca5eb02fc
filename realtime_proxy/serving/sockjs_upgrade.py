"""An upgrade request on a route with SockJS: framed, plain, or for nothing that is there."""

import attrs

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.sockjs_rules import Endpoint, Kind
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.sockjs_opening import SockJsWebSocketOpening
from realtime_proxy.serving.sockjs_websocket_client import SockJsWebSocketClient
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.serving.websocket_upgrade import WebSocketUpgrade, websocket_of


class SockJsUpgrade(WebSocketUpgrade):
    """An upgrade request where some routes serve SockJS."""

    __slots__ = ()

    def _asked_head(self, route: LiveRoute) -> RequestHead:
        head, endpoint = self._request.head, self._endpoint(route)
        if route.sockjs is None or endpoint is None:
            return head
        if endpoint.kind is not Kind.RAW and not endpoint.session:
            raise ProtocolError(404, "Not Found")
        return attrs.evolve(head, target=route.sockjs.backend_target(head.target, websocket=True))

    def _endpoint(self, route: LiveRoute) -> Endpoint | None:
        return None if route.sockjs is None else route.sockjs.endpoint(self._request.head.path)

    async def _begin(self, opening: WebSocketOpening) -> None:
        endpoint = self._endpoint(opening.route)
        if endpoint is None or endpoint.kind is Kind.RAW:
            await super()._begin(opening)
            return
        client = SockJsWebSocketClient(self._connection, opening.route.websocket)
        # Without compression: frames of SockJS are each client's own.
        other = {"connection": client, "compression": None}
        values = attrs.asdict(opening, recurse=False) | other
        websocket = websocket_of(SockJsWebSocketOpening(**values))
        await client.begin(websocket)
