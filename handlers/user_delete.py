"""Services are told of deleted users, as the simple gateway of `gateway.conf.yaml` does it.

Who deletes a user publishes its id in Redis; each service gets a request, again and again until it
has heard it. It is asked for nothing at requests: a route only has to name it.
"""

import json
import math
import re
from collections.abc import AsyncIterable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import attrs
import trio

from realtime_proxy.pipeline import (
    BaseHandler,
    ConfigError,
    HandlerContext,
    Headers,
    HttpCallError,
    Problem,
    Published,
    RedisConnection,
    RedisSettings,
    above_zero,
    at_least,
    option,
    required,
)

if TYPE_CHECKING:
    from coredis import Redis

_POLL_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
# What is done need not be done again if another worker hears of it late.
_DONE_SECONDS = 60
_BEGUN, _DONE = b"begun", b"done"
# 404 and 410: it knows no such user, or no more.
_HEARD = frozenset((*range(200, 300), 404, 410))


@attrs.frozen
class UserDeleteConfig:
    """The settings of `user_delete`."""

    urls: tuple[str, ...] = required("Who is told: `http://HOST:PORT/PATH` or https.")
    channel: str = option("user-delete", "Where ids are published in Redis.")
    header_name: str = option("Id", "The header that has the id.")
    attempts: int = option(20, "So often each is tried, ever less often.", at_least(1))
    timeout_seconds: float = option(5.0, "Limit for an answer.", above_zero)
    redis: RedisSettings = option(
        RedisSettings(), "Where ids are published, and kept until all have heard of them."
    )


class Handler(BaseHandler):
    """Sends `DELETE` with the user's id to all services.

    What is to be done is kept in Redis, so that no end of a worker loses it: a hash of service and
    user, with the attempts made; and for each a key while it is somebody's turn, or too early.
    """

    Config: ClassVar[type] = UserDeleteConfig

    def __init__(self, config: UserDeleteConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        config.redis.check()
        for i, url in enumerate(config.urls):
            if not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", url):
                problem = "must be `http://HOST:PORT/PATH` or https, without a user"
                raise ConfigError([Problem(f"urls[{i}]", problem)])
        if not re.fullmatch(r"[A-Za-z0-9_-]+", config.header_name):
            raise ConfigError([Problem("header_name", "can't be the name of a header")])
        self._header = config.header_name.encode()
        self._pending = f"realtime-proxy:{context.name}:pending"
        self._come = trio.Event()

    @cached_property
    def _redis(self) -> RedisConnection:
        return self.context.redis(self.config.redis)

    async def run(self) -> None:
        """Hear of deleted users, and tell of them."""
        await self._redis.attend(self._listen, (self.config.channel,))

    async def _listen(self, client: "Redis[bytes]", feed: AsyncIterable[Published]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._work_off, client)
            async for published in feed:
                await self._add(client, published.content.decode(errors="replace"))

    async def _add(self, client: "Redis[bytes]", user: str) -> None:
        """Have all services told. All workers hear of a user; it becomes one entry each."""
        if not user or not user.isprintable():
            self.context.logger.warning("deleted user ignored", problem="its id is not printable")
            return
        for url in self.config.urls:
            entry = json.dumps([url, user])
            is_new = await client.hsetnx(self._pending, entry, "0")
            # Another worker may have heard of it earlier, and be done with it.
            if is_new and await client.get(self._turn(entry)) == _DONE:
                await client.hdel(self._pending, [entry])
        self._come.set()

    async def _work_off(self, client: "Redis[bytes]") -> None:
        """Tell who is to be told, for ever; who is slow to hear it keeps nobody waiting."""
        async with trio.open_nursery() as attempts:
            while True:
                self._come = trio.Event()
                entries = await client.hgetall(self._pending)
                async with trio.open_nursery() as turns:
                    for entry, made in entries.items():
                        attempt = entry.decode(), int(made) + 1
                        turns.start_soon(self._take_turn, client, attempts, *attempt)
                with trio.move_on_after(_POLL_SECONDS):
                    await self._come.wait()

    async def _take_turn(
        self, client: "Redis[bytes]", attempts: trio.Nursery, entry: str, attempt: int
    ) -> None:
        """Begin an attempt, if it is time for one and nobody else makes it."""
        from coredis.tokens import PureToken

        url, _ = json.loads(entry)
        pause_seconds = min(2.0 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
        until_next = math.ceil(self.config.timeout_seconds + pause_seconds)
        if url in self.config.urls and await client.set(
            self._turn(entry), _BEGUN, condition=PureToken.NX, ex=until_next
        ):
            attempts.start_soon(self._tell, client, entry, attempt)

    async def _tell(self, client: "Redis[bytes]", entry: str, attempt: int) -> None:
        url, user = json.loads(entry)
        problem = await self._problem(url, user)
        log = self.context.logger.bind(url=url, user=user, attempt=attempt)
        if not problem:
            log.info("service told of a deleted user")
            await self._be_done(client, entry)
        elif attempt < self.config.attempts:
            log.warning("service not told of a deleted user yet", problem=problem)
            await client.hincrby(self._pending, entry, 1)
        else:
            log.error("service not told of a deleted user", problem=problem)
            await self._be_done(client, entry)

    async def _be_done(self, client: "Redis[bytes]", entry: str) -> None:
        await client.set(self._turn(entry), _DONE, ex=_DONE_SECONDS)
        await client.hdel(self._pending, [entry])

    async def _problem(self, url: str, user: str) -> str:
        """Why a service has not heard of it; nothing if it has."""
        try:
            response = await self.context.http.ask(
                "DELETE",
                url,
                Headers([(self._header, user.encode())]),
                timeout_seconds=self.config.timeout_seconds,
            )
        except HttpCallError as error:
            return str(error)
        return "" if response.status in _HEARD else f"it has answered {response.status}"

    def _turn(self, entry: str) -> str:
        return f"{self._pending}:{entry}"
