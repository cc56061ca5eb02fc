"""What a handler does at a moment it does not care about: nothing."""

from realtime_proxy.model.item import Item
from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    Exchange,
    HandlerContext,
    Headers,
    NoConfig,
    RequestHead,
    ResponseHead,
    WebSocketEvent,
)


async def test_every_moment_has_a_default_that_changes_nothing() -> None:
    handler = BaseHandler(NoConfig(), HandlerContext(name="idle", logger=None))
    request = RequestHead(b"GET", b"/", Headers())
    exchange = Exchange(request, "route", "http", "")
    event = WebSocketEvent("TEXT", b"")
    assert await handler.on_request(exchange) is CONTINUE
    assert handler.on_websocket_event(exchange, event) is event
    assert handler.on_delivery(exchange, Item("news")) is True
    handler.on_response_head(exchange, ResponseHead(200, b"OK", Headers()))
    handler.on_backend_request(exchange, request)
    handler.on_open(exchange)
    handler.on_close(exchange, "finished")
    await handler.run()
    assert exchange == Exchange(RequestHead(b"GET", b"/", Headers()), "route", "http", "")
    assert handler.sets_headers == frozenset()
