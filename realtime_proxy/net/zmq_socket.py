"""ZeroMQ sockets that can be awaited. The only file that imports zmq."""

import stat
from pathlib import Path
from typing import Self

import trio
import zmq

from realtime_proxy.errors import ConfigError, Problem

# As many messages as are taken at once before they are handed on (`bench/ceilings`: joining).
MAX_BATCH = 256
_HIGH_WATER_MARK = 101_000


class PullSocket:
    """A bound PULL socket."""

    def __init__(self, endpoint: str, ipc_mode: int | None = None) -> None:
        """Raises ConfigError when the endpoint can't be bound."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.linger = 0
        self._socket.ipv6 = True
        self._socket.rcvhwm = _HIGH_WATER_MARK
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            message = f"can't bind {endpoint}: {error}"
            raise ConfigError([Problem("publish.pull", message)]) from error
        self._fd = int(self._socket.getsockopt(zmq.FD))
        if ipc_mode is not None and endpoint.startswith("ipc://"):
            Path(endpoint.removeprefix("ipc://")).chmod(stat.S_IMODE(ipc_mode))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """The address as bound, with the port that was taken."""
        bound: bytes = self._socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return bound.rstrip(b"\0").decode()

    async def receive(self) -> list[list[bytes]]:
        """The messages that are waiting, at least one, each as its parts.

        ZeroMQ signals a descriptor only on a change, so everything is taken before waiting again.
        """
        while True:
            batch = self._take()
            if batch:
                await trio.lowlevel.checkpoint()
                return batch
            await trio.lowlevel.wait_readable(self._fd)

    def _take(self) -> list[list[bytes]]:
        batch: list[list[bytes]] = []
        while len(batch) < MAX_BATCH:
            try:
                batch.append(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
        return batch

    def close(self) -> None:
        """Unbind, and end the context."""
        self._socket.close()
        self._context.term()
