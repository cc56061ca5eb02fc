"""Ports for programs that a test is about to start, which nobody else gets meanwhile."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """So many free ports of 127.0.0.1, for servers that set SO_REUSEADDR, as nearly all do.

    They are bound, so that the kernel gives them to nobody who asks for any port, but not listened
    on: connections are refused until the server is there.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for reserving in sockets:
            reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserving.bind(("127.0.0.1", 0))
        yield [reserving.getsockname()[1] for reserving in sockets]
