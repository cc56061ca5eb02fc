"""The service manager that has started this process: told of its state, and asked for sockets.

As systemd has it (sd_notify(3), sd_listen_fds(3)). Without one nothing happens.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Self

import structlog
import trio

from realtime_proxy.net.listening_sockets import is_listening

_FIRST_DESCRIPTOR = 3

log = structlog.get_logger()


class ServiceManager:
    """Where to tell it, if it wants to know, and how often it wants a sign of life."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        """An address that begins with `@` is abstract."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self:
        """What the environment says, from which it is taken: it is for this process alone."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        whose = environment.pop("WATCHDOG_PID", "")
        is_watched = microseconds.isdigit() and whose in ("", str(os.getpid()))
        return cls(address, int(microseconds) / 1_000_000 if is_watched else 0.0)

    def tell_ready(self) -> None:
        """Clients are served, or are again after a reload."""
        self._tell("READY=1")

    def tell_reloading(self) -> None:
        """The configuration is about to change."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def tell_stopping(self) -> None:
        """No new clients are taken."""
        self._tell("STOPPING=1")

    async def run(self) -> None:
        """Give signs of life until cancelled: twice as often as wanted."""
        while self._watchdog_seconds:
            self._tell("WATCHDOG=1")
            await trio.sleep(self._watchdog_seconds / 2)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
                way.setblocking(False)
                way.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("service manager not told", state=state, problem=str(error))


def given_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that the service manager has opened, and given to this process.

    The environment is cleared of them: what this process starts is given none.
    """
    whose = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if whose != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for index in range(int(count)):
        one = socket.socket(fileno=_FIRST_DESCRIPTOR + index)
        one.set_inheritable(False)
        if is_listening(one):
            found.append(one)
        else:
            name = names[index] if index < len(names) else ""
            log.warning("given descriptor takes no connections", name=name)
            one.close()
    return found
