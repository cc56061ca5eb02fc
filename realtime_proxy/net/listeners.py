"""Sockets that clients connect to, and how they are opened."""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from pathlib import Path
from typing import Any

from realtime_proxy.config.addresses import Address, TcpAddress, UnixAddress
from realtime_proxy.errors import ConfigError, Problem

BACKLOG = 4096


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


def tcp_name(address: TcpAddress) -> tuple[socket.AddressFamily, Any]:
    """The family and the name of a socket for an address; `*` is any host. Raises OSError."""
    host = "::" if address.host == "*" else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, name = found[0]
    return family, name


def unix_name(address: UnixAddress) -> str:
    """The name of a socket for a path; after an `@` it is abstract, and no file."""
    return "\0" + address.path[1:] if address.path.startswith("@") else address.path


def _bind_tcp(address: TcpAddress, *, reuse_port: bool = False) -> socket.socket:
    family, name = tcp_name(address)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            takes_v4 = address.host == "*"
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_v4)
        bound.bind(name)
    except BaseException:
        bound.close()
        raise
    return bound


def _open_unix(address: UnixAddress) -> socket.socket:
    _remove_dead_socket(Path(address.path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(unix_name(address))
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
