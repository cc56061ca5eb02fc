"""A backend of reliable holds of all kinds: it knows what was published, and what a client misses.

The items of a channel are numbered, and its store is the number of the latest one, in memory that
the publisher shares. Each client tells the last number that it has: streams and long-polls as
`?last=` or `Last-Event-ID`, WebSockets in a message once they are subscribed; the proxy tells it in
`Grip-Last`. Who tells none gets the latest item.

    GET /stream?c=3, /events?c=3, /poll?c=3, /socket?c=3 (over HTTP), /passed?c=3 (a WebSocket)
"""

import multiprocessing
import re
import socket
from functools import partial
from typing import Self

import trio
from wsproto.frame_protocol import FrameProtocol, Opcode
from wsproto.utilities import generate_accept_token

_CHANNEL = re.compile(rb"[?&]c=(\d+)")
_LAST = (
    re.compile(rb"\r\ngrip-last: *\d+; last-id=(\d+)", re.IGNORECASE),
    re.compile(rb"\r\nlast-event-id: *(\d+)", re.IGNORECASE),
    re.compile(rb"[?&]last=(\d+)"),
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r]+)", re.IGNORECASE)
_ASKED = re.compile(rb"TEXT [0-9A-Fa-f]+\r\n(new|\d+)\r\n")
_SUBSCRIBED = "m:subscribed"


def content_of(number: int) -> str:
    """One item, for streams and long-polls."""
    return f"id: {number}\ndata: {number}\n\n"


class DeployBackend:
    """A process that answers for so many channels. `latest` has the last number of each."""

    def __init__(self, channels: int) -> None:
        context = multiprocessing.get_context("fork")
        self.latest = context.Array("q", channels, lock=False)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = int(self._listener.getsockname()[1])
        self._process = context.Process(target=self._run, daemon=True)
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._listener.close()

    # -- in the process --------------------------------------------------------------------

    def _run(self) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        trio.run(partial(trio.serve_listeners, self._serve, [listener]))

    async def _serve(self, stream: trio.SocketStream) -> None:
        buffer = b""
        try:
            while data := bytes(await stream.receive_some()):
                buffer += data
                while (end := _end_of_request(buffer)) is not None:
                    request, buffer = buffer[:end], buffer[end:]
                    if request.startswith(b"GET /passed"):
                        await self._websocket(stream, request)
                        return
                    await stream.send_all(self._answer(request))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the proxy has hung up

    def _missing(self, channel: int, last: int | None) -> list[int]:
        latest = int(self.latest[channel])
        return list(range(latest if last is None else last + 1, latest + 1))

    def _answer(self, request: bytes) -> bytes:
        target = request.split(b" ", 2)[1]
        channel, path = int(_CHANNEL.search(target)[1]), target.partition(b"?")[0]
        if path == b"/socket":
            return _response(*self._events(channel, request.partition(b"\r\n\r\n")[2]))
        latest = int(self.latest[channel])
        last = next((int(found[1]) for form in _LAST if (found := form.search(request))), None)
        body = "".join(map(content_of, self._missing(channel, last))).encode()
        fields = [f"Grip-Channel: {channel}; prev-id={latest}"]
        if path == b"/poll":
            hold = [] if body else [*fields, "Grip-Hold: response", "Grip-Timeout: 60"]
            return _response(body, "text/plain", hold)
        kind = "text/event-stream" if path == b"/events" else "text/plain"
        link = f"Grip-Link: <{target.decode()}>; rel=next; timeout=20"
        return _response(body, kind, [*fields, "Grip-Hold: stream", link])

    def _events(self, channel: int, events: bytes) -> tuple[bytes, str, list[str]]:
        texts = []
        if events.startswith(b"OPEN"):
            texts = [_subscription(channel), _SUBSCRIBED]
        texts += [self._sync(channel, asked) for asked in _ASKED.findall(events)]
        body = "OPEN\r\n" if events.startswith(b"OPEN") else ""
        body += "".join(f"TEXT {len(text):x}\r\n{text}\r\n" for text in texts)
        extension = ["Sec-WebSocket-Extensions: grip"]
        return body.encode(), "application/websocket-events", extension

    def _sync(self, channel: int, asked: bytes | str) -> str:
        numbers = self._missing(channel, int(asked) if asked.isdigit() else None)
        return " ".join(["m:sync", *map(str, numbers)])

    async def _websocket(self, stream: trio.SocketStream, request: bytes) -> None:
        channel = int(_CHANNEL.search(request)[1])
        protocol = FrameProtocol(client=False, extensions=[])
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Extensions: grip\r\nSec-WebSocket-Accept: %b\r\n\r\n"
            % generate_accept_token(_KEY.search(request)[1])
            + protocol.send_data(_subscription(channel))
            + protocol.send_data(_SUBSCRIBED)
        )
        while data := bytes(await stream.receive_some()):
            protocol.receive_bytes(data)
            for frame in protocol.received_frames():
                if frame.opcode is Opcode.TEXT:
                    await stream.send_all(protocol.send_data(self._sync(channel, frame.payload)))
                elif frame.opcode is Opcode.PING:
                    await stream.send_all(protocol.pong(frame.payload))
                elif frame.opcode is Opcode.CLOSE:
                    await stream.send_all(protocol.close(*frame.payload))
                    return


def _subscription(channel: int) -> str:
    return f'c:{{"type": "subscribe", "channel": "{channel}"}}'


def _response(body: bytes, kind: str, fields: list[str]) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", *fields, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def _end_of_request(data: bytes) -> int | None:
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = _LENGTH.search(data, 0, head + 2)
    end = head + 4 + (int(length[1]) if length else 0)
    return end if len(data) >= end else None
