"""A held request asked again: the backend may answer, hold it again, or fail."""

from typing import TYPE_CHECKING

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.client_exchange import After, ForPage
from realtime_proxy.serving.http_exchange import HttpExchange
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_body import StoredBody
from realtime_proxy.sessions.remembered_poll import RememberedPoll
from realtime_proxy.wire.http1_rules import NO_BODY
from realtime_proxy.wire.http1_server import IncomingRequest

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


async def repeat_request(
    connection: "HttpConnection",
    route: LiveRoute,
    exchange: Exchange | None,
    poll: RememberedPoll,
    for_page: ForPage,
) -> After:
    """Ask again with the original request, told by `Grip-Last` what the client has."""
    headers = Headers(poll.backend_headers).without((b"grip-last",))
    headers.extend(
        (b"Grip-Last", f"{channel}; last-id={last_id}".encode())
        for channel, last_id in poll.last_ids
    )
    again = RequestHead(poll.backend_method, poll.backend_target, headers)
    client_head = RequestHead(poll.method, poll.backend_target, Headers(), poll.version)
    request = IncomingRequest(
        client_head, b"", NO_BODY, keep_alive=poll.keep_alive, expects_continue=False
    )
    repeated = HttpExchange(connection, request, StoredBody(poll.backend_body))
    return await repeated.run_again(route, exchange, again, for_page, trusted=poll.is_trusted)
