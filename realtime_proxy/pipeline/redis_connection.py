"""Redis for handlers: where it is, and a connection that comes and goes. `backend/` makes it."""

import importlib.util
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import unquote_to_bytes

import attrs

from realtime_proxy.config.checks import above_zero, at_least
from realtime_proxy.config.option import option
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.pipeline.secret import Secret

T = TypeVar("T")

_URL_FORM = "`redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`"
_URL = re.compile(
    r"redis://(?:(?P<username>[^\s:@/]*):(?P<password>[^\s@/]+)@)?"
    r"(?P<host>[^\s:@/?#\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:/(?P<db>[0-9]{0,5}))?"
)


class RedisUnavailable(Exception):
    """Redis has not answered; the text says why."""


@attrs.frozen
class RedisSettings:
    """Where Redis is: `[handler.NAME.redis]`. It must be version 6 or later (RESP3)."""

    host: Secret | None = option(
        None, '`"env:REDIS_HOST"`, or a name or address. Without: 127.0.0.1.'
    )
    port: Secret | None = option(None, 'In quotes: `"env:REDIS_PORT"`, or a number. Without: 6379.')
    username: Secret | None = option(None, "Of Redis' ACL. Without: the default one.")
    password: Secret | None = option(None, '`"env:REDIS_PASSWORD"`.')
    db: int = option(0, "The number of its database.", at_least(0))
    timeout_seconds: float = option(2.0, "Limit for its answers.", above_zero)

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Where `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]` leads. Raises ConfigError.

        The text of the error has nothing of the URL, which may carry a password.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError([Problem("", f"must be {_URL_FORM}")])
        return cls(
            host=Secret(match["host"].strip("[]").encode()),
            port=Secret(match["port"].encode()) if match["port"] else None,
            username=Secret(unquote_to_bytes(match["username"])) if match["username"] else None,
            password=Secret(unquote_to_bytes(match["password"])) if match["password"] else None,
            db=int(match["db"] or 0),
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return _text(self.host, "127.0.0.1"), int(_text(self.port, "6379"))

    def check(self) -> None:
        """Raise ConfigError if there can be no connection: for a handler's `__init__`."""
        if importlib.util.find_spec("coredis") is None:
            raise ConfigError([Problem("redis", "needs `pip install 'realtime_proxy[redis]'`")])
        port = _text(self.port, "6379")
        if not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) < 65_536:
            raise ConfigError([Problem("redis.port", "must be a port, from 1 to 65535")])


@attrs.frozen
class Published:
    """What was published, or happened to a key: the bytes of its channel, and what it says."""

    channel: bytes
    content: bytes


Listener = Callable[[Any, AsyncIterable[Published]], Awaitable[None]]


class RedisConnection(Protocol):
    """A connection that one handler keeps up. What it calls a client is a `coredis.Redis`."""

    @property
    def is_there(self) -> bool:
        """True while Redis can be asked."""

    async def ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """What it answers: `await redis.ask(lambda client: client.get("a"))`.

        Raises RedisUnavailable, at once while there is no connection.
        """

    async def attend(
        self, listen: Listener, channels: Sequence[str], patterns: Sequence[str] = ()
    ) -> None:
        """Keep a connection up, for ever: nothing can be asked unless this runs.

        There must be a channel or a pattern.
        Each time there is one, and it is subscribed, `listen` gets the client and what is published
        from then on. It is cancelled when the connection is lost.
        """


def _text(secret: Secret | None, default: str) -> str:
    return default if secret is None else secret.value.decode(errors="replace").strip()
