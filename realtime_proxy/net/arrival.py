"""When data arrived, by the kernel: a reader that comes late on a busy machine changes nothing."""

import socket
import sys
from typing import Any

_LAST_DATA_RECEIVED = 52  # in `struct tcp_info` of linux/tcp.h, milliseconds


def seconds_since_arrival(sock: Any) -> float:
    """How long ago the last data came to a TCP socket, to a few milliseconds.

    A socket of trio will do as well.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    ago = int.from_bytes(info[_LAST_DATA_RECEIVED : _LAST_DATA_RECEIVED + 4], sys.byteorder)
    return ago / 1000
