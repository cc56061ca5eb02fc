"""The process whose place this one takes: its sockets, and its clients' link while it drains."""

import contextlib
import errno
import socket
import tempfile
from typing import Self

import structlog
import trio

from realtime_proxy.app.takeover import (
    PROTOCOL,
    Counterpart,
    Hello,
    Join,
    Joined,
    Serving,
    TakeoverFailed,
)
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.inputs.hub import PREDECESSOR, Hub
from realtime_proxy.net.zmq_socket import PairSocket

# It may have one itself that still drains, and answers nobody before that has ended.
_ANSWER_SECONDS = 60.0
_NOBODY = frozenset((errno.ENOENT, errno.ECONNREFUSED))

log = structlog.get_logger()


class Predecessor:
    """One that runs with the same configuration, and has been asked for its place."""

    def __init__(self, other: Counterpart) -> None:
        self._other = other
        self.gone = trio.Event()

    @classmethod
    async def find(cls, path: str) -> Self | None:
        """The process at this path, and its listening sockets; None if there is none.

        Raises ConfigError if there is one that does not give its place.
        """
        if not path:
            return None
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.setblocking(False)
        try:
            raw.connect(path)
            other = Counterpart(raw)
            if not other.is_ours:
                raise TakeoverFailed("the process there runs for another user")
            with trio.fail_after(_ANSWER_SECONDS):
                await other.send(Hello(PROTOCOL))
                await other.receive_sockets()
        except (OSError, TakeoverFailed, trio.TooSlowError) as error:
            raw.close()
            if isinstance(error, OSError) and error.errno in _NOBODY:
                return None
            why = "no answer" if isinstance(error, trio.TooSlowError) else str(error)
            message = f"can't take over from the process at {path}: {why}"
            raise ConfigError([Problem("server.takeover_socket", message)]) from error
        log.info("taking over", sockets=len(other.sockets))
        return cls(other)

    @property
    def sockets(self) -> list[socket.socket]:
        """Its listening sockets."""
        return self._other.sockets

    async def join(self, hub: Hub, nursery: trio.Nursery) -> None:
        """Have it on the hub until it is gone; back when it hears of items from there alone."""
        joined = trio.Event()
        nursery.start_soon(self._serve, hub, joined)
        await joined.wait()

    async def _serve(self, hub: Hub, joined: trio.Event) -> None:
        with (
            contextlib.closing(self._other),
            tempfile.TemporaryDirectory(prefix="realtime-proxy-") as folder,
        ):
            link = f"ipc://{folder}/predecessor"
            with PairSocket(link, bind=True) as pair:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(hub.serve, PREDECESSOR, pair, joined)
                    try:
                        await self._other.send(Join(link))
                        await self._other.receive(Joined)
                        await self._other.gone()
                        log.info("the process before this one has ended")
                    except TakeoverFailed as error:
                        log.warning("the process before this one has failed", problem=str(error))
                    nursery.cancel_scope.cancel()
        joined.set()
        self.gone.set()

    async def tell_serving(self) -> None:
        """Have it let its publishers and clients go."""
        with contextlib.suppress(TakeoverFailed):  # it is gone
            await self._other.send(Serving())
