"""The connections that libraries have accepted in this process, which they do not show.

Whoever sends over such a connection learns of its end only when it fails, and what was on its way
is lost. Closing just our side lets it end its own side first, and all that was sent arrives.

ZeroMQ drops of a message what it has not written yet when it learns of the end; so an end comes in
a pause, if there is one.
"""

import array
import fcntl
import os
import socket
import termios
from pathlib import Path

import trio

from realtime_proxy.net.arrival import seconds_since_arrival

# A peer ends within a round trip, or it has no interest in ours: then nobody waits.
_PATIENCE_SECONDS = 2.0
_PATIENCE_WITH_DATA_SECONDS = 1.0
_LOOK_SECONDS = 0.01
_PAUSE_SECONDS = 0.01
_ANY = frozenset(("0.0.0.0", "::"))  # noqa: S104


async def send_away(listener: socket.socket) -> None:
    """End our side of all connections of a listener; back when their peers have ended theirs.

    A peer that sends without a pause is ended after a second in the midst of it. Peers that connect
    again at once come to whoever else listens with the same socket.
    """
    pause_by = trio.current_time() + _PATIENCE_WITH_DATA_SECONDS
    with trio.move_on_after(_PATIENCE_SECONDS):
        name = listener.getsockname()
        while await trio.to_thread.run_sync(  # noqa: ASYNC110  peers tell nobody
            _end_ours, name, trio.current_time() < pause_by
        ):
            await trio.sleep(_LOOK_SECONDS)


def _end_ours(name: object, in_pauses: bool) -> int:
    """End our side of the connections that have this name; how many there are."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()).startswith("socket:"):
                # A copy: what the number stands for may change at any time.
                with socket.socket(fileno=os.dup(int(link.name))) as one:
                    if _is_accepted(one, name):
                        count += 1
                        if not (in_pauses and _has_data(one)):
                            one.shutdown(socket.SHUT_WR)
        except OSError:
            continue  # it is closed by now, or no longer connected
    return count


def _is_accepted(one: socket.socket, name: object) -> bool:
    """True for a connection of this name."""
    if one.type != socket.SOCK_STREAM or not _is_at(one.getsockname(), name):
        return False
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    one.getpeername()  # raises OSError if it is not connected
    return True


def _has_data(one: socket.socket) -> bool:
    """True while the peer's data comes, or waits to be read."""
    waiting = array.array("i", [0])
    fcntl.ioctl(one, termios.FIONREAD, waiting)
    if waiting[0] or one.family == socket.AF_UNIX:
        return bool(waiting[0])
    return seconds_since_arrival(one) < _PAUSE_SECONDS


def _is_at(name: object, listener: object) -> bool:
    if isinstance(name, tuple) and isinstance(listener, tuple):
        return name[1] == listener[1] and (
            listener[0] in _ANY or name[0].removeprefix("::ffff:") == listener[0]
        )
    return name == listener
