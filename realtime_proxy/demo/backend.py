"""The embedded demo backend: a GRIP backend as one function, called without a network between.

It answers as a real one would, with Grip-* header fields and WebSocket events, and knows nothing
of the proxy. It has the resources of Pushpin's `test` target, and `/demo/…` for its page.
"""

import json
from collections.abc import Callable

import attrs

from realtime_proxy.demo.echo import echo
from realtime_proxy.demo.page import page_response
from realtime_proxy.demo.publish_form import DEMO_CHANNEL, item_from_form
from realtime_proxy.demo.pushpin_target import PushpinTarget, check_size, hold, is_websocket
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Item
from realtime_proxy.model.messages import RequestHead, Response, text_response

# Intermediaries and browsers must neither keep nor collect what is sent while it happens.
_LIVE = (b"Cache-Control", b"no-store")
_PUSHPIN_TARGET = PushpinTarget()


@attrs.frozen
class DemoBackend:
    """Answers the requests of routes whose target is the demo.

    `publish` takes an item and tells how many connections it was for. It is called for the
    channel `demo` only.
    """

    publish: Callable[[Item], int]

    def answer(self, request: RequestHead, body: bytes) -> Response:
        """The response to one request; that of a WebSocket brings the events it asks for."""
        path = request.path.removesuffix(b"/")
        try:
            if is_websocket(request):
                if path != b"/demo/ws":
                    return _PUSHPIN_TARGET.answer(request, body)
                return echo(body, [DEMO_CHANNEL])
            check_size(body)
            return self._response(path, request, body)
        except ProtocolError as error:
            return text_response(error.status, str(error))

    def _response(self, path: bytes, request: RequestHead, body: bytes) -> Response:
        match path:
            case b"" if _is_browser(request):
                return page_response(request.headers.get(b"host") or b"")
            case b"/demo/events":
                return _event_stream()
            case b"/demo/poll":
                return _long_poll()
            case b"/demo/publish":
                return self._published(request, body)
        return _PUSHPIN_TARGET.answer(request, body)

    def _published(self, request: RequestHead, body: bytes) -> Response:
        if request.method != b"POST":
            return Response(
                405, Headers([(b"Content-Type", b"text/plain"), (b"Allow", b"POST")]), b"use POST\n"
            )
        receivers = self.publish(item_from_form(request, body))
        text = json.dumps({"receivers": receivers}) + "\n"
        return Response(200, Headers([(b"Content-Type", b"application/json")]), text.encode())


def _is_browser(request: RequestHead) -> bool:
    """True if the page is wanted rather than the line by which Pushpin's `test` is known."""
    kinds = {kind.partition(b";")[0].strip() for kind in request.headers.tokens(b"accept")}
    return b"text/html" in kinds


def _event_stream() -> Response:
    headers = [
        (b"Content-Type", b"text/event-stream"),
        _LIVE,
        # A comment now and then, so that nobody on the way takes the stream for a dead one.
        (b"Grip-Keep-Alive", rb":\n\n; format=cstring; timeout=20"),
    ]
    return hold(b"stream", [DEMO_CHANNEL], b": waiting for messages\n\n", headers)


def _long_poll() -> Response:
    # The empty body is what the client gets if nothing is published in time.
    headers = [(b"Content-Type", b"text/plain; charset=utf-8"), _LIVE, (b"Grip-Timeout", b"25")]
    return hold(b"response", [DEMO_CHANNEL], b"", headers)
