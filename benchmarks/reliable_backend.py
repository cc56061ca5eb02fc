"""A backend of reliable streams that knows what was published, and can be down for a while.

The items of a channel are numbered, and their content follows from their number, so its store is
the number of the latest one. It lies in memory that the publisher shares.

    GET /events?c=3&c=17    from now on: `open 3:41 17:8`, then what follows
    the same, with          what follows the ids that the client has: requests for the link
    Grip-Last: 3; last-id=… have them
"""

import multiprocessing
import os
import re
import select
import socket
import time
from typing import Self

CHECK_SECONDS = 20  # the link's timeout
_CHANNEL = re.compile(rb"[?&]c=(\d+)")
_LAST = re.compile(rb"\r\ngrip-last: *(\d+); last-id=(\d+)", re.IGNORECASE)


def content_of(channel: int, number: int) -> bytes:
    """One item as clients see it."""
    return b"%d:%d\n" % (channel, number)


class ReliableBackend:
    """A process that answers for so many channels. `latest` has the last number of each."""

    def __init__(self, channels: int) -> None:
        context = multiprocessing.get_context("fork")
        self.latest = context.Array("q", channels, lock=False)
        self.requests = context.Value("q", 0, lock=False)
        self._down_until = context.Value("d", 0.0, lock=False)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process = context.Process(target=self._run, daemon=True)
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def restart(self, seconds: float) -> None:
        """Drop every connection, and refuse new ones for a while."""
        self._down_until.value = time.monotonic() + seconds

    # -- in the process --------------------------------------------------------------------

    def _run(self) -> None:
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(max(0.0, self._down_until.value - time.monotonic()))
            with socket.create_server(("127.0.0.1", self.port), backlog=1024) as listener:
                self._serve(listener, parent)

    def _serve(self, listener: socket.socket, parent: int) -> None:
        clients: dict[int, socket.socket] = {}
        with select.epoll() as epoll:
            epoll.register(listener, select.EPOLLIN)
            while os.getppid() == parent and time.monotonic() >= self._down_until.value:
                for fd, _ in epoll.poll(0.05):
                    if fd == listener.fileno():
                        client, _ = listener.accept()
                        clients[client.fileno()] = client
                        epoll.register(client, select.EPOLLIN)
                    elif not self._answer(clients[fd]):
                        clients.pop(fd).close()
        for client in clients.values():
            client.close()

    def _answer(self, client: socket.socket) -> bool:
        """Answer what a connection has sent; False at its end. Requests come in one piece here."""
        try:
            data = client.recv(65_536)
            for request in data.split(b"\r\n\r\n")[:-1]:
                client.sendall(self._response(request))
        except OSError:
            return False
        return bool(data)

    def _response(self, request: bytes) -> bytes:
        self.requests.value += 1
        line = request.partition(b"\r\n")[0]
        target = line.split(b" ")[1]
        channels = [int(found) for found in _CHANNEL.findall(target)]
        last = {int(channel): int(number) for channel, number in _LAST.findall(request)}
        latest = {channel: self.latest[channel] for channel in channels}
        if last:
            body = b"".join(
                content_of(channel, number)
                for channel in channels
                for number in range(last.get(channel, latest[channel]) + 1, latest[channel] + 1)
            )
        else:
            body = b"open %b\n" % b" ".join(b"%d:%d" % pair for pair in latest.items())
        holds = ", ".join(f"{channel}; prev-id={latest[channel]}" for channel in channels)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\n"
            f"Grip-Channel: {holds}\r\nContent-Length: {len(body)}\r\n"
            f"Grip-Link: <{target.decode()}>; rel=next; timeout={CHECK_SECONDS}\r\n\r\n"
        )
        return head.encode() + body
