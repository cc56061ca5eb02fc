"""Redis for tests: the stand-in, or a `redis-server` of the test's own."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.redis_server import RedisServer
from realtime_proxy.testing.reserved_ports import reserved_ports


class RealRedis:
    """A `redis-server`, commanded by `redis-cli`, with further options."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = 0
        self._options = options

    def start(self) -> Self:
        """Start it, at the port it had; back when it answers."""
        with reserved_ports(1) as (port,):
            self.port = self.port or port
        fixed = ("--port", str(self.port), "--dir", str(self.folder))
        self.process = subprocess.Popen(  # noqa: S603
            ["redis-server", *fixed, *self._options],  # noqa: S607  whichever is installed
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends_at = time.monotonic() + DEADLINE_SECONDS
        while "PONG" not in self.ask("PING"):
            if time.monotonic() > ends_at:
                raise TimeoutError("redis-server does not answer")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(DEADLINE_SECONDS)

    def set(self, key: str) -> None:
        """As the command, with the key as value."""
        self.ask("SET", key, key)

    def delete(self, key: str) -> None:
        """As the command."""
        self.ask("DEL", key)

    def publish(self, channel: str, content: str) -> int:
        """As the command; how many heard it."""
        return int(self.ask("PUBLISH", channel, content))

    def ask(self, *command: str) -> str:
        """What is answered to a command."""
        done = subprocess.run(  # noqa: S603
            ["redis-cli", "-p", str(self.port), *command],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout


def start_redis(kind: str, folder: Path, *options: str) -> RedisServer | RealRedis:
    """A `real` one or a `stand-in`; started again, both know what they knew."""
    return (RealRedis(folder, *options) if kind == "real" else RedisServer()).start()


@contextmanager
def away(redis: RedisServer | RealRedis) -> Iterator[None]:
    """Within this block there is no Redis, and nobody else gets its port; then it is started."""
    with socket.socket() as reserving:
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        redis.stop()
        reserving.bind(("127.0.0.1", redis.port))
        yield
        redis.start()
