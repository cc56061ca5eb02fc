"""Redis as handlers have it (`pipeline.RedisConnection`): coredis, and a connection kept up.

Whoever follows what is published has to look for what happened while nobody listened. So a lost
connection is not mended in secret: all is made anew, and the listener is told by being called.
"""

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
import trio

from realtime_proxy.pipeline.redis_connection import (
    Listener,
    Published,
    RedisSettings,
    RedisUnavailable,
)
from realtime_proxy.pipeline.secret import Secret

if TYPE_CHECKING:
    from coredis import Redis
    from coredis.patterns.pubsub import PubSub

T = TypeVar("T")

RETRY_SECONDS = 0.5
# How coredis tells what has failed: with all of the command, in which there may be secrets.
_COMMAND = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
# One is for what is published. The others are given back once a question is sent.
_MAX_CONNECTIONS = 4


class KeptRedisConnection:
    """A connection that is made again when it is lost."""

    def __init__(self, settings: RedisSettings) -> None:
        """`settings` have been checked."""
        self._settings = settings
        self._host, self._port = settings.address
        self._client: Redis[bytes] | None = None
        self._tried = trio.Event()
        self._is_said_away = False
        self._log: Any = structlog.get_logger(address=f"{self._host}:{self._port}")

    @property
    def is_there(self) -> bool:
        """True while Redis can be asked."""
        return self._client is not None

    async def ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """What it answers. Raises RedisUnavailable."""
        from anyio import BrokenResourceError, ClosedResourceError
        from coredis.exceptions import RedisError

        # Its pool raises the first one for whoever asks while it is being closed.
        gone = RuntimeError, BrokenResourceError, ClosedResourceError
        try:
            with trio.fail_after(self._settings.timeout_seconds):
                if self._client is None:
                    await self._tried.wait()  # it has only begun
                if self._client is None:
                    raise RedisUnavailable("there is no connection to Redis")
                return await question(self._client)
        except trio.TooSlowError as error:
            raise RedisUnavailable("Redis does not answer in time") from error
        except (RedisError, *gone) as error:
            raise RedisUnavailable(_said(error)) from error

    async def attend(
        self, listen: Listener, channels: Sequence[str], patterns: Sequence[str] = ()
    ) -> None:
        """Keep a connection up, for ever."""
        while True:
            await self._attend_once(listen, channels, patterns)
            await trio.sleep(RETRY_SECONDS)

    async def _attend_once(
        self, listen: Listener, channels: Sequence[str], patterns: Sequence[str]
    ) -> None:
        from anyio import BrokenResourceError, ClosedResourceError
        from coredis.exceptions import RedisError

        # How coredis ends when it is cancelled: it wants to send something yet.
        closed = BrokenResourceError, ClosedResourceError
        try:
            await self._reach()
            async with (
                self._new_client() as client,
                self._subscribed(client, channels, patterns) as feed,
                aclosing(_published(feed)) as published,
            ):
                self._has_come(client)
                await listen(client, published)
        except* (RedisError, OSError, trio.TooSlowError, *closed) as problems:
            self._has_gone(problems)
        finally:
            self._client = None
            self._tried.set()

    async def _reach(self) -> None:
        """Raise unless somebody is there: coredis leaves what it has begun behind then."""
        with trio.fail_after(self._settings.timeout_seconds):
            stream = await trio.open_tcp_stream(self._host, self._port)
            await stream.aclose()

    def _new_client(self) -> "Redis[bytes]":
        from coredis import Redis

        settings = self._settings
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # it raises what it logs, too
        return Redis(
            self._host,
            self._port,
            settings.db,
            username=_decoded(settings.username),
            password=_decoded(settings.password),
            connect_timeout=settings.timeout_seconds,
            stream_timeout=settings.timeout_seconds,
            max_connections=_MAX_CONNECTIONS,
        )

    def _subscribed(
        self, client: "Redis[bytes]", channels: Sequence[str], patterns: Sequence[str]
    ) -> "PubSub[bytes]":
        from coredis.retry import NoRetryPolicy

        return client.pubsub(
            channels=channels,
            patterns=patterns,
            retry_policy=NoRetryPolicy(),
            subscription_timeout=self._settings.timeout_seconds,
            max_idle_seconds=1,  # then it is asked whether it is still there
        )

    def _has_come(self, client: "Redis[bytes]") -> None:
        self._client = client
        self._tried.set()
        self._is_said_away = False
        self._log.info("Redis is there")

    def _has_gone(self, problems: BaseException) -> None:
        if not self._is_said_away:
            self._log.warning("Redis is away", problem=_said(problems))
        self._is_said_away = True


async def _published(feed: "PubSub[bytes]") -> AsyncGenerator[Published, None]:
    async for message in feed:
        channel, content = message["channel"], message["data"]
        # The others tell how many subscriptions there are.
        if isinstance(channel, bytes) and isinstance(content, bytes):
            yield Published(channel, content)


def _decoded(secret: Secret | None) -> str | None:
    return None if secret is None else secret.value.decode()


def _said(problem: BaseException) -> str:
    """What it says; the first of a group, since one failure ends all there is of a connection."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return _COMMAND.sub("", str(problem)) or type(problem).__name__
