"""A GRIP backend that costs little: one process, one epoll set, answers made beforehand."""

import multiprocessing
import os
import re
import select
import socket
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"[A-Z]+ (/[a-z]*)(?:\?channel=([a-z0-9]+))? ")


class Backend:
    """Answers `/plain`, and holds `/stream`, `/response` and `/websocket` with `?channel=NAME`."""

    def __init__(self, port: int = 0) -> None:
        """Port 0: any that is free."""
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = int(self._listener.getsockname()[1])
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_serve, args=(self._listener,), daemon=True)
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._listener.close()

    @property
    def pid(self) -> int:
        """The process that answers."""
        return self._process.pid or 0


def _serve(listener: socket.socket) -> None:
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    received: dict[int, bytes] = {}
    parent = os.getppid()
    while os.getppid() == parent:
        for fd, _ in epoll.poll(1.0):
            if fd == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                received[client.fileno()] = b""
                epoll.register(client, select.EPOLLIN)
                continue
            client = clients[fd]
            try:
                data = client.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                epoll.unregister(fd)
                del received[fd]
                clients.pop(fd).close()
                continue
            data = received[fd] + data
            while (end := _end_of_request(data)) is not None:
                client.sendall(_answer(data[:end]))
                data = data[end:]
            received[fd] = data


def _end_of_request(data: bytes) -> int | None:
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = _LENGTH.search(data, 0, head + 2)
    end = head + 4 + (int(length[1]) if length else 0)
    return end if len(data) >= end else None


def _answer(request: bytes) -> bytes:
    match = _TARGET.match(request)
    path, channel = (match[1], match[2] or b"test") if match else (b"", b"")
    match path:
        case b"/stream":
            return _response(b"", b"Grip-Hold: stream\r\nGrip-Channel: %b\r\n" % channel)
        case b"/response":
            headers = b"Grip-Hold: response\r\nGrip-Timeout: 600\r\nGrip-Channel: %b\r\n"
            return _response(b"", headers % channel)
        case b"/websocket":
            body = b""
            if b"\r\n\r\nOPEN\r\n" in request:
                subscribe = b'c:{"type":"subscribe","channel":"%b"}' % channel
                body = b"OPEN\r\nTEXT %x\r\n%b\r\n" % (len(subscribe), subscribe)
            headers = (
                b"Content-Type: application/websocket-events\r\n"
                b'Sec-WebSocket-Extensions: grip; message-prefix=""\r\n'
            )
            return _response(body, headers)
    return _response(b"Hello, world\n", b"Content-Type: text/plain\r\n")


def _response(body: bytes, headers: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)
