"""The demo's `POST /demo/publish`: from a request to an item for the demo's channel."""

import json
from urllib.parse import parse_qs

from realtime_proxy.demo.server_sent_event import server_sent_event
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.model.messages import RequestHead

DEMO_CHANNEL = "demo"
MAX_MESSAGE_BYTES = 4_096
# A form may write each byte of a message as three.
MAX_FORM_BYTES = 4 * MAX_MESSAGE_BYTES

_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"


def item_from_form(request: RequestHead, body: bytes) -> Item:
    """The item that a request asks to publish. Raises ProtocolError with the status to answer."""
    if not _is_same_origin(request.headers):
        raise ProtocolError(403, "publishing from other sites is refused")
    if len(body) > MAX_FORM_BYTES:
        raise ProtocolError(413, "request too large")
    message = _message(request.headers, body).encode(errors="replace")
    if not message:
        raise ProtocolError(400, "no message given")
    if len(message) > MAX_MESSAGE_BYTES:
        raise ProtocolError(413, f"message longer than {MAX_MESSAGE_BYTES} bytes")
    return demo_item(message)


def demo_item(message: bytes) -> Item:
    """The message for every kind of receiver on the demo's channel."""
    # What stands in a message is nobody's HTML, even if a browser shows it as a page of its own.
    headers = Headers(
        [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Cache-Control", b"no-store"),
        ]
    )
    return Item(
        DEMO_CHANNEL,
        http_response=HttpResponse(headers=headers, body=message + b"\n"),
        http_stream=HttpStream(content=server_sent_event(message)),
        ws_message=WebSocketMessage(content=message),
    )


def _is_same_origin(headers: Headers) -> bool:
    """False for what a page of another site had its visitor's browser send.

    Browsers say with every POST where it comes from; other clients say nothing, and may.
    """
    origin = headers.get(b"origin")
    host = headers.get(b"host") or b""
    return origin is None or origin.partition(b"://")[2].lower() == host.lower()


def _message(headers: Headers, body: bytes) -> str:
    kind = (headers.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind == _FORM:
        return _from_form(body)
    if kind == _JSON:
        return _from_json(body)
    raise ProtocolError(415, f"send {_FORM.decode()} or {_JSON.decode()}")


def _from_form(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode(), max_num_fields=16)
    except ValueError:
        raise ProtocolError(400, "malformed form") from None
    return fields.get("message", [""])[0]


def _from_json(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError(400, "malformed JSON") from None
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, str):
        raise ProtocolError(400, 'send {"message": "text"}')
    return message
