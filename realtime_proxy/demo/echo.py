"""The demo's WebSockets: every message comes back, and what is published arrives as well."""

import json

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import Event, decode_events, encode_events
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, text_response

EVENTS_TYPE = b"application/websocket-events"


def echo(body: bytes, channels: list[str]) -> Response:
    """Answer the events of one request: accept, subscribe to the channels, send back."""
    try:
        events = decode_events(body)
    except GripError as error:
        return text_response(400, str(error))
    replies = [reply for event in events for reply in _replies(event, channels)]
    headers = Headers([(b"Content-Type", EVENTS_TYPE)])
    if any(event.type == b"OPEN" for event in events):
        headers.append((b"Sec-WebSocket-Extensions", b"grip"))
    return Response(200, headers, encode_events(replies))


def _replies(event: Event, channels: list[str]) -> list[Event]:
    match event.type:
        case b"OPEN":
            return [event, *(_subscription(channel) for channel in channels)]
        case b"TEXT" | b"BINARY":
            # `m:` says that this is for the client; without it `c:` in a message would be
            # obeyed as a control message.
            return [Event(event.type, b"m:" + (event.content or b""))]
        case b"PING":
            return [Event(b"PONG", event.content)]
        case b"CLOSE":
            return [event]
    return []


def _subscription(channel: str) -> Event:
    return Event(b"TEXT", b"c:" + json.dumps({"type": "subscribe", "channel": channel}).encode())
