"""Pushpin's `test` target: a GRIP backend to try holds and publishing with."""

from urllib.parse import parse_qs

import attrs

from realtime_proxy.demo.echo import EVENTS_TYPE, echo
from realtime_proxy.errors import ProtocolError
from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, text_response

MAX_BODY_BYTES = 100_000
_DEFAULT_CHANNEL = "test"
_TEXT = (b"Content-Type", b"text/plain")


@attrs.frozen
class PushpinTarget:
    """Answers the requests of routes with `test` as their target.

    `prefix` is what their paths begin with; it is no part of the resources' names, but for a slash
    at its end.
    """

    prefix: bytes = b""

    def answer(self, request: RequestHead, body: bytes) -> Response:
        """The response to one request; that of a WebSocket brings the events it asks for."""
        path = request.path.removeprefix(self.prefix.removesuffix(b"/")).removesuffix(b"/")
        try:
            if is_websocket(request):
                if path != b"/ws":
                    raise no_such_resource()
                return echo(body, _channels(request))
            check_size(body)
            return _response(path, request)
        except ProtocolError as error:
            return text_response(error.status, str(error))


def is_websocket(request: RequestHead) -> bool:
    """True if a request brings WebSocket events. The proxy lets no client send them itself."""
    return request.headers.get(b"content-type") == EVENTS_TYPE


def check_size(body: bytes) -> None:
    """Raise ProtocolError for a request body that is too large."""
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(400, "request too large")


def no_such_resource() -> ProtocolError:
    """What is said of every other path."""
    return ProtocolError(404, "no such test resource")


def hold(
    mode: bytes, channels: list[str], body: bytes, headers: list[tuple[bytes, bytes]]
) -> Response:
    """A response that is held for some channels."""
    names = ", ".join(channels).encode()
    grip = [(b"Grip-Hold", mode), (b"Grip-Channel", names)]
    return Response(200, Headers([*headers, *grip]), body)


def _response(path: bytes, request: RequestHead) -> Response:
    match path:
        case b"":
            return text_response(200, "Hello from the Pushpin test handler!")
        case b"/response":
            return hold(b"response", _channels(request), b"nothing for now\n", [_TEXT])
        case b"/stream":
            return hold(b"stream", _channels(request), b"[stream opened]\n", [_TEXT])
    raise no_such_resource()


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
