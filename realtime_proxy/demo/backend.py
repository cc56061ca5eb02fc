"""The embedded demo backend: a GRIP backend as one function, called without a network between.

It answers as a real one would, with Grip-* header fields and WebSocket events, and knows nothing
of the proxy. Its first resources are those of Pushpin's `test` target; `/demo/…` is for the page.
"""

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import attrs

from realtime_proxy.demo.echo import EVENTS_TYPE, echo
from realtime_proxy.demo.page import page_response
from realtime_proxy.demo.publish_form import DEMO_CHANNEL, item_from_form
from realtime_proxy.errors import ProtocolError
from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Item
from realtime_proxy.model.messages import RequestHead, Response, text_response

MAX_BODY_BYTES = 100_000
_DEFAULT_CHANNEL = "test"

_TEXT = (b"Content-Type", b"text/plain")
# Intermediaries and browsers must neither keep nor collect what is sent while it happens.
_LIVE = (b"Cache-Control", b"no-store")


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
            if _is_websocket(request):
                return _websocket_response(path, request, body)
            if len(body) > MAX_BODY_BYTES:
                raise ProtocolError(400, "request too large")
            return self._response(path, request, body)
        except ProtocolError as error:
            return text_response(error.status, str(error))

    def _response(self, path: bytes, request: RequestHead, body: bytes) -> Response:
        match path:
            case b"":
                return _front_door(request)
            case b"/response":
                return _hold(b"response", _channels(request), b"nothing for now\n", [_TEXT])
            case b"/stream":
                return _hold(b"stream", _channels(request), b"[stream opened]\n", [_TEXT])
            case b"/demo/events":
                return _event_stream()
            case b"/demo/poll":
                return _long_poll()
            case b"/demo/publish":
                return self._published(request, body)
        raise _not_found()

    def _published(self, request: RequestHead, body: bytes) -> Response:
        if request.method != b"POST":
            return Response(405, Headers([_TEXT, (b"Allow", b"POST")]), b"use POST\n")
        receivers = self.publish(item_from_form(request, body))
        text = json.dumps({"receivers": receivers}) + "\n"
        return Response(200, Headers([(b"Content-Type", b"application/json")]), text.encode())


def _is_websocket(request: RequestHead) -> bool:
    # The proxy lets no client send this type itself.
    return request.headers.get(b"content-type") == EVENTS_TYPE


def _websocket_response(path: bytes, request: RequestHead, body: bytes) -> Response:
    match path:
        case b"/ws":
            return echo(body, _channels(request))
        case b"/demo/ws":
            return echo(body, [DEMO_CHANNEL])
    raise _not_found()


def _not_found() -> ProtocolError:
    return ProtocolError(404, "no such test resource")


def _front_door(request: RequestHead) -> Response:
    """The page for browsers; for everything else the line by which Pushpin's `test` is known."""
    kinds = {kind.partition(b";")[0].strip() for kind in request.headers.tokens(b"accept")}
    if b"text/html" in kinds:
        return page_response(request.headers.get(b"host") or b"")
    return text_response(200, "Hello from the Pushpin test handler!")


def _channels(request: RequestHead) -> list[str]:
    """The channels that the query names. Raises ProtocolError for what no header could hold."""
    query = request.target.partition(b"?")[2]
    try:
        names = parse_qs(query.decode(), max_num_fields=100).get("channel", [_DEFAULT_CHANNEL])
    except ValueError:
        raise ProtocolError(400, "malformed query") from None
    if any(has_control(name.encode()) for name in names):
        raise ProtocolError(400, "no such channel name")
    return names


def _hold(
    mode: bytes, channels: list[str], body: bytes, headers: list[tuple[bytes, bytes]]
) -> Response:
    names = ", ".join(channels).encode()
    grip = [(b"Grip-Hold", mode), (b"Grip-Channel", names)]
    return Response(200, Headers([*headers, *grip]), body)


def _event_stream() -> Response:
    headers = [
        (b"Content-Type", b"text/event-stream"),
        _LIVE,
        # A comment now and then, so that nobody on the way takes the stream for a dead one.
        (b"Grip-Keep-Alive", rb":\n\n; format=cstring; timeout=20"),
    ]
    return _hold(b"stream", [DEMO_CHANNEL], b": waiting for messages\n\n", headers)


def _long_poll() -> Response:
    # The empty body is what the client gets if nothing is published in time.
    headers = [(b"Content-Type", b"text/plain; charset=utf-8"), _LIVE, (b"Grip-Timeout", b"25")]
    return _hold(b"response", [DEMO_CHANNEL], b"", headers)
