"""A held request asked again: the backend may answer, hold it again, or fail."""

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.serving.client_exchange import After
from realtime_proxy.serving.http_exchange import HttpExchange
from realtime_proxy.serving.http_holds import HoldOrder
from realtime_proxy.serving.request_body import StoredBody


async def repeat_request(order: HoldOrder, grip_last: Headers) -> After:
    """Ask again with the original request, told by `Grip-Last` what the client has."""
    head = order.backend_head
    headers = head.headers.without((b"grip-last",))
    if order.body or order.request.framing.has_body:
        headers = headers.replaced(b"Content-Length", str(len(order.body)).encode())
    headers.extend(grip_last)
    again = RequestHead(head.method, head.target, headers, head.version)
    exchange = HttpExchange(order.connection, order.request, StoredBody(order.body))
    return await exchange.run_again(order, again)
