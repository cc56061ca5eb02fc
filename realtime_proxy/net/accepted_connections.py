"""The connections that libraries have accepted in this process, which they do not show.

Whoever sends over such a connection learns of its end only when it fails, and what was on its way
is lost. Closing just our side lets it end its own side first, and all that was sent arrives.
"""

import os
import socket
from pathlib import Path

import trio

# A peer ends within a round trip, or it has no interest in ours: then nobody waits.
_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.01
_ANY = frozenset(("0.0.0.0", "::"))  # noqa: S104


async def send_away(listener: socket.socket) -> None:
    """End our side of all connections of a listener; back when their peers have ended theirs.

    Peers that connect again at once come to whoever else listens with the same socket.
    """
    with trio.move_on_after(_PATIENCE_SECONDS):
        name = listener.getsockname()
        while await trio.to_thread.run_sync(_end_ours, name):  # noqa: ASYNC110  peers tell nobody
            await trio.sleep(_LOOK_SECONDS)


def _end_ours(name: object) -> int:
    """End our side of the connections that have this name; how many there are."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()).startswith("socket:"):
                # A copy: what the number stands for may change at any time.
                with socket.socket(fileno=os.dup(int(link.name))) as one:
                    count += _is_accepted(one, name)
        except OSError:
            continue  # it is closed by now, or no longer connected
    return count


def _is_accepted(one: socket.socket, name: object) -> bool:
    """True for a connection of this name, whose our side is then at its end."""
    if one.type != socket.SOCK_STREAM or not _is_at(one.getsockname(), name):
        return False
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    one.getpeername()  # raises OSError if it is not connected
    one.shutdown(socket.SHUT_WR)
    return True


def _is_at(name: object, listener: object) -> bool:
    if isinstance(name, tuple) and isinstance(listener, tuple):
        return name[1] == listener[1] and (
            listener[0] in _ANY or name[0].removeprefix("::ffff:") == listener[0]
        )
    return name == listener
