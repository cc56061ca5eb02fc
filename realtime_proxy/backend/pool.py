"""Idle backend connections, kept per origin. Judgement only: whoever calls does the IO."""

import math
import re
from collections import deque

import trio

from realtime_proxy.backend.connection import BackendConnection, connect
from realtime_proxy.backend.origin import Origin
from realtime_proxy.config.schema import Backend
from realtime_proxy.errors import BackendUnreachable
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.net.descriptors import RETRY_SECONDS, Descriptors
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.wire.http1_client import KnownResponses

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
# A connection is given up this long before the backend would: its close may be on its way.
_MARGIN_SECONDS = 1.0
# Clients may name the server whose certificate is checked, and with it make origins.
MAX_ORIGINS = 1_000


class Pool:
    """Gives out connections to backends, used ones first, the latest returned before others.

    `known` are the heads that came lately on any of them.
    """

    def __init__(
        self, settings: Backend, timers: Timers, watcher: Watcher, descriptors: Descriptors
    ) -> None:
        self.settings = settings
        self._timers = timers
        self._watcher = watcher
        self._descriptors = descriptors
        self._idle: dict[Origin, deque[BackendConnection]] = {}
        self.known = KnownResponses()

    def __repr__(self) -> str:
        idle = ", ".join(f"{origin}: {len(waiting)}" for origin, waiting in self._idle.items())
        return f"<Pool idle {{{idle}}}>"

    async def fresh(self, origin: Origin) -> BackendConnection:
        """A connection that nobody has used. Raises BackendUnreachable.

        If there is no open file for it, those of idle connections are given up, and it is waited
        for others.
        """
        seconds = self.settings.connect_timeout_seconds
        give_up_at = trio.current_time() + seconds
        while True:
            try:
                return await connect(origin, self._timers, self._watcher, seconds)
            except BackendUnreachable as error:
                if not error.is_out_of_files or trio.current_time() >= give_up_at:
                    raise
                self._descriptors.ran_out(str(error))
                self.close()
                await trio.sleep(RETRY_SECONDS)

    def take_idle(self, origin: Origin) -> BackendConnection | None:
        """An idle connection that the backend has not given up, or None."""
        waiting = self._idle.get(origin)
        now = self._timers.now()
        while waiting:
            connection = waiting.pop()
            idle_seconds = now - connection.given_back_at
            if idle_seconds < connection.idle_seconds and not connection.is_stale(now):
                connection.is_reused = True
                return connection
            connection.close()
        return None

    def give_back(self, connection: BackendConnection, head: ResponseHead) -> None:
        """Keep a connection whose response is complete, for as long as its backend may."""
        connection.unlimit_silence()
        seconds = self.settings.idle_seconds
        if promise := head.headers.get(b"keep-alive"):
            seconds = min(seconds, _promised_seconds(promise) - _MARGIN_SECONDS)
        waiting = self._idle.get(connection.origin)
        if waiting is None:
            waiting = self._new_origin(connection.origin)
        if seconds <= 0 or waiting is None or len(waiting) >= self.settings.max_idle_connections:
            connection.close()
            return
        connection.idle_seconds = seconds
        connection.given_back_at = self._timers.now()
        waiting.append(connection)

    def _new_origin(self, origin: Origin) -> deque[BackendConnection] | None:
        if len(self._idle) >= MAX_ORIGINS:
            return None
        return self._idle.setdefault(origin, deque())

    def drop_expired(self) -> None:
        """Close what has been idle for too long; forget origins without connections, old heads."""
        now = self._timers.now()
        self.known.age(now)
        for origin, waiting in list(self._idle.items()):
            for connection in list(waiting):  # each has a time of its own
                if now - connection.given_back_at >= connection.idle_seconds:
                    waiting.remove(connection)
                    connection.close()
            if not waiting:
                del self._idle[origin]

    def close(self) -> None:
        """Close every idle connection."""
        for waiting in self._idle.values():
            for connection in waiting:
                connection.close()
        self._idle.clear()


def _promised_seconds(keep_alive: bytes) -> float:
    match = _TIMEOUT.search(keep_alive)
    return float(match[1]) if match else math.inf
