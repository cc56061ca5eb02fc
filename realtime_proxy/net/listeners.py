"""Sockets that clients connect to: opening them, and accepting without a task per connection."""

import contextlib
import errno
import grp
import itertools
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from realtime_proxy.config.addresses import Address, TcpAddress, UnixAddress
from realtime_proxy.errors import ConfigError, Problem

BACKLOG = 4096
# Accepting fails for these when the process or machine is out of something: wait and try again.
_OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
_RETRY_SECONDS = 0.1
# For these it fails when the client, or the way to it, has gone already: take the next.
_CLIENT_GONE = frozenset(
    (
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    )
)
# A flood of new clients must not keep the others waiting.
_ACCEPTED_AT_ONCE = 64

log = structlog.get_logger()


def open_listener(address: Address, key_path: str = "server.listen") -> socket.socket:
    """A listening, non-blocking socket. Raises ConfigError when the address can't be had."""
    return open_listeners(address, 1, key_path)[0]


def open_listeners(
    address: Address, count: int, key_path: str = "server.listen"
) -> list[socket.socket]:
    """As many sockets for one address, among which the kernel spreads new connections.

    On a unix path they are one socket. The address is bound for itself first, so that a second
    instance is refused instead of sharing it. Raises ConfigError when it can't be had.
    """
    try:
        if isinstance(address, UnixAddress):
            return [_open_unix(address)] * count
        if count == 1:
            return [_open_tcp(address)]
        # Kept until the others have the address, and not listening: its clients would be cut off.
        with _bind_tcp(address) as first:
            shared = TcpAddress(*first.getsockname()[:2])
            return [_open_tcp(shared, reuse_port=True) for _ in range(count)]
    except OSError as error:
        message = f"can't listen on {address}: {error.strerror or error}"
        raise ConfigError([Problem(key_path, message)]) from error


def _open_tcp(address: TcpAddress, *, reuse_port: bool = False) -> socket.socket:
    listener = _bind_tcp(address, reuse_port=reuse_port)
    try:
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind_tcp(address: TcpAddress, *, reuse_port: bool = False) -> socket.socket:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, sockaddr = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(sockaddr)
    except BaseException:
        bound.close()
        raise
    return bound


def _open_unix(address: UnixAddress) -> socket.socket:
    _remove_dead_socket(Path(address.path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address.path)
        if address.user is not None or address.group is not None:
            user = -1 if address.user is None else pwd.getpwnam(address.user).pw_uid
            group = -1 if address.group is None else grp.getgrnam(address.group).gr_gid
            os.chown(address.path, user, group)
        if address.mode is not None:
            Path(address.path).chmod(address.mode)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except KeyError as error:
        listener.close()
        raise OSError(errno.EINVAL, f"no such user or group: {error}") from error
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_dead_socket(path: Path) -> None:
    """A socket file that nobody listens on is left over from a process that ended hard."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.setblocking(False)  # one who listens may be too busy to take the probe
        with contextlib.suppress(BlockingIOError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


class Acceptor:
    """Accepts connections of one listener, as long as there is room for more."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, str], None],
        room: "Room",
    ) -> None:
        self._listener = listener
        self._take = take
        self._room = room

    async def run(self) -> None:
        """Accept until cancelled, then close the listener."""
        with self._listener:
            for count in itertools.count():
                await self._room.wait()
                if count % _ACCEPTED_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                try:
                    raw, address = self._listener.accept()
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self._listener)
                except OSError as error:
                    if error.errno in _OUT_OF_RESOURCES:
                        log.error("can't accept connections", problem=error.strerror)
                        await trio.sleep(_RETRY_SECONDS)
                    elif error.errno not in _CLIENT_GONE:
                        raise
                else:
                    self._accepted(raw, address)

    def _accepted(self, raw: socket.socket, address: object) -> None:
        raw.setblocking(False)
        if raw.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # the client has left already
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = str(address[0]) if isinstance(address, tuple) else ""
        self._room.enter()
        self._take(raw, peer)


class Room:
    """How many connections there may be; those who come later wait to be accepted."""

    def __init__(self, size: int) -> None:
        self._size = self._places = size
        self._lot = trio.lowlevel.ParkingLot()

    def resize(self, size: int) -> None:
        """Have room for so many from now on; whoever is in stays."""
        self._places += size - self._size
        self._size = size
        self._lot.unpark_all()

    def enter(self) -> None:
        """One more connection."""
        self._places -= 1

    def leave(self) -> None:
        """One connection less."""
        self._places += 1
        self._lot.unpark()

    async def wait(self) -> None:
        """Wait until there is a place."""
        while self._places <= 0:
            await self._lot.park()
