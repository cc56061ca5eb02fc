"""A small Redis in this process (RESP3 over a socket), which does what handlers ask for.

It forgets nothing by itself: `expire` is called instead of time passing.
"""

import contextlib
import fnmatch
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

Reply = Any  # None, bool, int, bytes, str (a status), a list, a dict, or an exception


class RedisError(Exception):
    """What is answered as an error."""


class RedisServer:
    """Runs in a thread, from `start` to `stop`; it may be started again, with all it knew."""

    def __init__(self, port: int = 0, password: str = "", keyspace_events: str = "K$gx") -> None:
        """`keyspace_events` as in Redis; some of `$` and `g` is all that it has."""
        self.port = port
        self.password = password
        self.keyspace_events = keyspace_events
        self.texts: dict[bytes, bytes] = {}
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.seconds: dict[bytes, int] = {}  # what keys would have left
        self.asked: list[list[bytes]] = []
        self.is_silent = False  # it takes what it is asked, and says nothing
        self.lock = threading.RLock()
        self.connections: set[Connection] = set()

    def start(self) -> Self:
        """Take connections."""
        server = socketserver.ThreadingTCPServer(
            ("127.0.0.1", self.port), Connection, bind_and_activate=False
        )
        server.daemon_threads = server.allow_reuse_address = True
        server.server_bind()
        server.server_activate()
        self.port = server.server_address[1]
        server.redis = self  # type: ignore[attr-defined]
        self._server: socketserver.BaseServer | None = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Take none any more, and end those that there are: none of them hears anything more."""
        with self.lock:
            server, self._server = self._server, None
            while self.connections:
                with contextlib.suppress(OSError):
                    self.connections.pop().request.shutdown(socket.SHUT_RDWR)
        if server is not None:
            server.shutdown()
            server.server_close()

    def takes(self, connection: "Connection") -> bool:
        """False for one that came before a stop and is only now attended to."""
        return connection.server is self._server

    def set(self, key: str, value: str = "1") -> None:
        """As the command."""
        self.answer(None, [b"SET", key.encode(), value.encode()])

    def delete(self, key: str) -> None:
        """As the command."""
        self.answer(None, [b"DEL", key.encode()])

    def publish(self, channel: str, content: str) -> int:
        """As the command; how many heard it."""
        heard: int = self.answer(None, [b"PUBLISH", channel.encode(), content.encode()])
        return heard

    def expire(self, prefix: str) -> None:
        """Let the time of all keys with this prefix be over."""
        with self.lock:
            for key in [key for key in self.seconds if key.startswith(prefix.encode())]:
                self.delete(key.decode())

    def answer(self, connection: "Connection | None", command: list[bytes]) -> Reply:
        """What is answered to a command."""
        name, *arguments = command
        with self.lock:
            self.asked.append(command)
            try:
                if connection is not None and not connection.is_known and name != b"HELLO":
                    raise RedisError("NOAUTH Authentication required.")
                if connection is not None and connection.queue is not None and name != b"EXEC":
                    connection.queue.append(command)
                    return "QUEUED"
                return _COMMANDS[name.upper()](self, connection, *arguments)
            except KeyError:
                return RedisError(f"ERR unknown command '{name.decode()}'")
            except RedisError as error:
                return error

    def tell(self, flag: str, key: bytes, event: bytes) -> None:
        """What happened to a key, to those who asked for it."""
        if "K" in self.keyspace_events and flag in self.keyspace_events:
            self.send(b"__keyspace@0__:" + key, event)

    def send(self, channel: bytes, content: bytes) -> int:
        """Publish; how many heard it."""
        count = 0
        for connection in list(self.connections):
            for pattern in connection.patterns:
                if fnmatch.fnmatchcase(channel.decode(), pattern.decode()):
                    connection.push([b"pmessage", pattern, channel, content])
                    count += 1
            if channel in connection.channels:
                connection.push([b"message", channel, content])
                count += 1
        return count


class Connection(socketserver.StreamRequestHandler):
    """One client."""

    def handle(self) -> None:
        """Answer commands until it is gone."""
        redis: RedisServer = self.server.redis  # type: ignore[attr-defined]
        self.channels: set[bytes] = set()
        self.patterns: set[bytes] = set()
        self.is_known = not redis.password
        self.watched: dict[bytes, bytes | None] = {}
        self.queue: list[list[bytes]] | None = None  # between MULTI and EXEC
        with redis.lock:
            if not redis.takes(self):
                return
            redis.connections.add(self)
        try:
            for command in _commands(self.rfile):
                with redis.lock:
                    if self in redis.connections and not redis.is_silent:
                        self._write(redis.answer(self, command))
        except (OSError, ValueError):
            pass
        finally:
            with redis.lock:
                redis.connections.discard(self)

    def push(self, parts: list[Any]) -> None:
        """Send what was not asked for."""
        with contextlib.suppress(OSError):
            self.wfile.write(b">%d\r\n" % len(parts) + b"".join(map(_encoded, parts)))

    def _write(self, reply: Reply) -> None:
        if reply is not _NOTHING:
            self.wfile.write(_encoded(reply))


_NOTHING = object()  # it has been pushed


def _commands(stream: Any) -> Iterator[list[bytes]]:
    while line := stream.readline():
        parts = []
        for _ in range(int(line[1:])):
            length = int(stream.readline()[1:])
            parts.append(stream.read(length + 2)[:-2])
        yield parts


def _encoded(value: Reply) -> bytes:
    match value:
        case None:
            return b"_\r\n"
        case RedisError():
            return b"-%s\r\n" % str(value).encode()
        case int():
            return b":%d\r\n" % value
        case str():
            return b"+%s\r\n" % value.encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(value), value)
        case dict():
            pairs = [part for pair in value.items() for part in pair]
            return b"%%%d\r\n" % len(value) + b"".join(map(_encoded, pairs))
        case _:
            return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))


def _hello(redis: RedisServer, connection: Connection, *arguments: bytes) -> Reply:
    if arguments[1:2] == (b"AUTH",):
        connection.is_known = arguments[3].decode() == redis.password
        if not connection.is_known:
            raise RedisError("WRONGPASS invalid username-password pair or user is disabled.")
    if not connection.is_known:
        raise RedisError("NOAUTH HELLO must be called with the client already authenticated.")
    return {b"server": b"redis", b"version": b"7.0.0", b"proto": 3, b"id": 1}


def _set(redis: RedisServer, _: Any, key: bytes, value: bytes, *options: bytes) -> Reply:
    if b"NX" in options and key in redis.texts:
        return None
    redis.texts[key] = value
    redis.seconds.pop(key, None)
    if b"EX" in options:
        redis.seconds[key] = int(options[options.index(b"EX") + 1])
    redis.tell("$", key, b"set")
    return "OK"


def _delete(redis: RedisServer, _: Any, *keys: bytes) -> Reply:
    found = [key for key in keys if redis.texts.pop(key, None) is not None]
    for key in found:
        redis.seconds.pop(key, None)
        redis.tell("g", key, b"del")
    return len(found)


def _watch(redis: RedisServer, connection: Connection, *keys: bytes) -> Reply:
    connection.watched |= {key: redis.texts.get(key) for key in keys}
    return "OK"


def _unwatch(_: RedisServer, connection: Connection) -> Reply:
    connection.watched.clear()
    return "OK"


def _multi(_: RedisServer, connection: Connection) -> Reply:
    connection.queue = []
    return "OK"


def _exec(redis: RedisServer, connection: Connection) -> Reply:
    queue, connection.queue = connection.queue or [], None
    watched, connection.watched = connection.watched, {}
    if any(redis.texts.get(key) != value for key, value in watched.items()):
        return None
    return [redis.answer(connection, command) for command in queue]


def _hset(redis: RedisServer, _: Any, key: bytes, *pairs: bytes) -> Reply:
    fields = redis.hashes.setdefault(key, {})
    before = len(fields)
    fields |= zip(pairs[::2], pairs[1::2], strict=True)
    return len(fields) - before


def _hsetnx(redis: RedisServer, _: Any, key: bytes, field: bytes, value: bytes) -> Reply:
    fields = redis.hashes.setdefault(key, {})
    return int(fields.setdefault(field, value) is value)


def _hdel(redis: RedisServer, _: Any, key: bytes, *fields: bytes) -> Reply:
    known = redis.hashes.get(key, {})
    return sum(known.pop(field, None) is not None for field in fields)


def _hincrby(redis: RedisServer, _: Any, key: bytes, field: bytes, number: bytes) -> Reply:
    fields = redis.hashes.setdefault(key, {})
    fields[field] = b"%d" % (int(fields.get(field, b"0")) + int(number))
    return int(fields[field])


def _subscriber(kind: bytes, name: str) -> Callable[..., Reply]:
    def subscribe(_: RedisServer, connection: Connection, *channels: bytes) -> Reply:
        for channel in channels:
            getattr(connection, name).add(channel)
            count = len(connection.channels) + len(connection.patterns)
            connection.push([kind, channel, count])
        return _NOTHING

    return subscribe


_COMMANDS: dict[bytes, Callable[..., Reply]] = {
    b"HELLO": _hello,
    b"PING": lambda *_: "PONG",
    b"EXISTS": lambda redis, _, *keys: sum(key in redis.texts for key in keys),
    b"GET": lambda redis, _, key: redis.texts.get(key),
    b"SET": _set,
    b"WATCH": _watch,
    b"UNWATCH": _unwatch,
    b"MULTI": _multi,
    b"EXEC": _exec,
    b"DEL": _delete,
    b"HGETALL": lambda redis, _, key: redis.hashes.get(key, {}),
    b"HSET": _hset,
    b"HSETNX": _hsetnx,
    b"HDEL": _hdel,
    b"HINCRBY": _hincrby,
    b"CONFIG": lambda redis, *_: {b"notify-keyspace-events": redis.keyspace_events.encode()},
    b"SUBSCRIBE": _subscriber(b"subscribe", "channels"),
    b"PSUBSCRIBE": _subscriber(b"psubscribe", "patterns"),
    b"UNSUBSCRIBE": lambda *_: _NOTHING,
    b"PUNSUBSCRIBE": lambda *_: _NOTHING,
    b"PUBLISH": lambda redis, _, channel, content: redis.send(channel, content),
}
