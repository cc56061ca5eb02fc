"""Giving this process's place to another one that asks for it, without refusing anybody."""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from realtime_proxy.app.takeover import (
    PROTOCOL,
    Counterpart,
    Hello,
    Join,
    Joined,
    Refusal,
    Serving,
    TakeoverFailed,
)
from realtime_proxy.config.addresses import UnixAddress
from realtime_proxy.errors import ConfigError
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.inputs.successor_link import SuccessorLink
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.zmq_socket import PairSocket

# A new process has to read its configuration and start its workers.
_START_SECONDS = 60.0
_NOT_TAKEN_OVER = "not taken over: this process goes on"

log = structlog.get_logger()


class Door(Publishing, Protocol):
    """Where publishers come: a door or a hub."""

    order: Order


class SuccessorPort:
    """Waits at a unix socket for the process that is to take this one's place.

    Nothing is given up before the other serves; if it fails, all is as it was.
    """

    def __init__(self, path: str, sockets: ListeningSockets) -> None:
        """Raises ConfigError when the path can't be had."""
        self._sockets = sockets
        self._listener: socket.socket | None = None
        if path:
            address = UnixAddress(path, mode=0o600)
            self._listener = sockets.open(address, "server.takeover_socket")

    async def run(
        self,
        door: Door,
        is_alone: trio.Event,
        taken_over: Callable[[], Awaitable[None]],
    ) -> None:
        """Serve until cancelled. `taken_over` is awaited once another process serves.

        Nobody is answered before `is_alone`: the process before this one still has its link here.
        """
        if self._listener is None:
            return
        with contextlib.closing(self):
            await is_alone.wait()
            while True:
                await trio.lowlevel.wait_readable(self._listener)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    raw, _ = self._listener.accept()
                    raw.setblocking(False)
                    with Counterpart(raw) as other:
                        await self._meet(other, door, taken_over)

    async def _meet(
        self, other: Counterpart, door: Door, taken_over: Callable[[], Awaitable[None]]
    ) -> None:
        if not other.is_ours:
            log.warning("takeover refused: the process runs for another user")
            return
        try:
            with trio.fail_after(_START_SECONDS):
                join = await self._introduce(other)
            with PairSocket(join.link, bind=False) as socket:
                await self._give_way(other, SuccessorLink(socket, door, door.order), taken_over)
        except (TakeoverFailed, ConfigError, trio.TooSlowError) as error:
            log.warning(_NOT_TAKEN_OVER, problem=str(error))

    async def _introduce(self, other: Counterpart) -> Join:
        hello = await other.receive(Hello)
        if hello.protocol != PROTOCOL:
            await other.send(Refusal(f"it speaks version {PROTOCOL} of the takeover's protocol"))
            raise TakeoverFailed(f"it speaks version {hello.protocol}, not {PROTOCOL}")
        await other.send_sockets(self._sockets.all())
        return await other.receive(Join)

    async def _give_way(
        self, other: Counterpart, link: SuccessorLink, taken_over: Callable[[], Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            link.begin()
            if not await self._serves(other):
                link.give_up()
                nursery.cancel_scope.cancel()
                return
            log.info("taken over: another process serves now")
            self.close()
            await taken_over()
            await other.gone()
            log.error("the process that has taken over is gone")
            await trio.sleep_forever()

    async def _serves(self, other: Counterpart) -> bool:
        try:
            with trio.fail_after(_START_SECONDS):
                await other.send(Joined())
                await other.receive(Serving)
        except (TakeoverFailed, trio.TooSlowError) as error:
            log.warning(_NOT_TAKEN_OVER, problem=str(error))
            return False
        return True

    def close(self) -> None:
        """Give the path back."""
        if self._listener is not None:
            self._listener.close()
