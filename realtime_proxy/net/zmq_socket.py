"""ZeroMQ sockets that can be awaited. The only file that imports zmq."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import attrs
import structlog
import trio
import zmq
from zmq.utils import z85

from realtime_proxy.config.addresses import UnixAddress, parse_endpoint
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.net.accepted_connections import send_away
from realtime_proxy.net.listening_sockets import ListeningSockets

# As many messages as are taken at once before they are handed on (`bench/ceilings`: joining).
MAX_BATCH = 256
_HIGH_WATER_MARK = 101_000
_STATS_HIGH_WATER_MARK = 200_000
_NOBLOCK = int(zmq.NOBLOCK)  # whose enumeration costs as much as receiving


log = structlog.get_logger()


class _ReceivingSocket:
    """What all kinds share: awaiting messages on a descriptor that signals changes only."""

    def __init__(self, kind: int, gate: "CurveGate | None" = None) -> None:
        """With a `gate`, whoever connects must have one of its keys."""
        self._context = zmq.Context() if gate is None else gate.context
        self._owns_context = gate is None
        self._socket = self._context.socket(kind)
        if gate is not None:
            gate.guard(self._socket)
        self._socket.linger = 0
        self._socket.ipv6 = True
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._waiting = trio.CancelScope()
        self._is_drained = False  # nothing was left to take, so the next arrival is signalled
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def receive(self) -> list[list[bytes]]:
        """The messages that are waiting, at least one, each as its parts.

        ZeroMQ signals its descriptor only on a change, so everything is taken before waiting again.
        """
        batch = [] if self._is_drained else self._take()
        if batch:
            await trio.lowlevel.checkpoint()
        while not batch:
            await self._signal()
            batch = self._take()
        return batch

    async def _signal(self) -> None:
        """Wait until there may be something to take, which there was not."""
        self._waiting = trio.CancelScope()
        with self._waiting:
            await trio.lowlevel.wait_readable(self._fd)

    def _take(self) -> list[list[bytes]]:
        batch: list[list[bytes]] = []
        receive = self._socket.recv
        self._is_drained = False
        try:
            for _ in range(MAX_BATCH):
                frame = receive(_NOBLOCK, False)
                parts = [frame.bytes]
                while frame.more:  # asking the socket instead costs more than receiving
                    frame = receive(copy=False)
                    parts.append(frame.bytes)
                batch.append(parts)
        except zmq.Again:
            self._is_drained = True
        return batch

    def _look_again(self) -> None:
        """After other calls than receiving, which may have swallowed the signal of an arrival."""
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._is_drained = False
            self._waiting.cancel()

    def waiting(self) -> list[list[bytes]]:
        """The messages that are waiting, perhaps none."""
        return self._take()

    async def send_away(self) -> None:
        """Have those who are connected connect anew, to another who listens with our sockets.

        What they have sent here before arrives. Nothing may be sent to them meanwhile.
        """
        for listener in self._listeners:
            await send_away(listener)

    def _listen(
        self, endpoint: str, key_path: str, mode: int | None, sockets: ListeningSockets | None
    ) -> None:
        """Take connections at an endpoint, with a socket of these if there are any."""
        if sockets is None:
            self._bind(endpoint, key_path, mode)
            return
        address = parse_endpoint(endpoint)
        if isinstance(address, UnixAddress):
            address = attrs.evolve(address, mode=mode)
        try:
            listener = sockets.open(address, key_path)
        except ConfigError as error:
            self.close()
            cause = getattr(error.__cause__, "strerror", None) or error.problems[0].message
            message = f"can't bind {endpoint}: {cause}"
            raise ConfigError([Problem(key_path, message)]) from error
        self._listeners.append(listener)
        self._socket.setsockopt(zmq.USE_FD, os.dup(listener.fileno()))  # which ZeroMQ closes
        self._bind(endpoint, key_path, None)

    def _bind(self, endpoint: str, key_path: str, ipc_mode: int | None) -> None:
        try:
            self._socket.bind(endpoint)
            if ipc_mode is not None and endpoint.startswith("ipc://"):
                Path(endpoint.removeprefix("ipc://")).chmod(stat.S_IMODE(ipc_mode))
        except (OSError, zmq.ZMQError) as error:
            self.close()
            message = f"can't bind {endpoint}: {error}"
            raise ConfigError([Problem(key_path, message)]) from error

    def _connect(self, endpoint: str, key_path: str) -> None:
        self._socket.tcp_keepalive = 1
        self._socket.tcp_keepalive_idle = 30
        self._socket.tcp_keepalive_cnt = 6
        self._socket.tcp_keepalive_intvl = 5
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            message = f"can't connect to {endpoint}: {error}"
            raise ConfigError([Problem(key_path, message)]) from error

    @property
    def endpoint(self) -> str:
        """The address as bound (the last one of several), with the port that was taken."""
        bound: bytes = self._socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return bound.rstrip(b"\0").decode()

    def close(self) -> None:
        """Give the address and the context back."""
        for listener in self._listeners:
            listener.close()
        self._socket.close()
        if self._owns_context:
            self._context.term()


class PullSocket(_ReceivingSocket):
    """A bound PULL socket."""

    name = "zmq pull"

    def __init__(
        self,
        endpoint: str,
        ipc_mode: int | None = None,
        gate: "CurveGate | None" = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when the endpoint can't be bound."""
        super().__init__(zmq.PULL, gate)
        self._socket.rcvhwm = _HIGH_WATER_MARK
        self._listen(endpoint, "publish.pull", ipc_mode, sockets)


class SubSocket(_ReceivingSocket):
    """A SUB socket that publishers connect to, or that is connected to publishers."""

    name = "zmq sub"

    def __init__(
        self,
        endpoints: Sequence[str],
        ipc_mode: int | None = None,
        gate: "CurveGate | None" = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when an endpoint can't be bound."""
        super().__init__(zmq.SUB, gate)
        self._socket.rcvhwm = _HIGH_WATER_MARK
        self._socket.sndhwm = 0  # of subscriptions: one that is lost would never be made up for
        for index, endpoint in enumerate(endpoints):
            self._listen(endpoint, f"publish.sub[{index}]", ipc_mode, sockets)

    @classmethod
    def connected(
        cls, endpoints: Sequence[str], gate: "CurveGate | None" = None, publishers_key: str = ""
    ) -> Self:
        """One that connects to publishers; with a `gate`, to those who have this key, as Z85.

        Raises ConfigError when an endpoint can't be connected to.
        """
        sub = cls(())
        if gate is not None:
            gate.present(sub._socket, publishers_key)
        for index, endpoint in enumerate(endpoints):
            sub._connect(endpoint, f"publish.sub[{index}]")
        return sub

    def subscribe(self, channel: str) -> None:
        """Ask publishers for what is published on a channel, once for each call."""
        self._set_topic(zmq.SUBSCRIBE, channel)

    def unsubscribe(self, channel: str) -> None:
        """Take back what was asked for once."""
        self._set_topic(zmq.UNSUBSCRIBE, channel)

    def _set_topic(self, option: int, channel: str) -> None:
        # An empty topic is the beginning of all. When all ends, clients may leave after this.
        if channel and not self._socket.closed:
            self._socket.setsockopt(option, channel.encode())
            self._look_again()


class _Socket(_ReceivingSocket):
    """One that also sends."""

    def send(self, parts: list[bytes]) -> bool:
        """Put a message in line for its receiver; False if nobody takes it."""
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:  # nobody is there, or the other end of a bound socket has just died
            return False
        finally:
            self._look_again()
        return True


class DealerSocket(_Socket):
    """A DEALER socket that REP sockets connect to, or that is connected to one."""

    def __init__(
        self,
        endpoint: str,
        key_path: str,
        max_message_bytes: int,
        ipc_mode: int | None = None,
        *,
        connect: bool = False,
    ) -> None:
        """Raises ConfigError when the endpoint can't be had."""
        super().__init__(zmq.DEALER)
        self._socket.maxmsgsize = max_message_bytes
        self._socket.immediate = True  # what is sent to nobody must be known at once
        if connect:
            self._connect(endpoint, key_path)
        else:
            self._bind(endpoint, key_path, ipc_mode)

    @property
    def can_send(self) -> bool:
        """True if somebody is there who takes more."""
        events = int(self._socket.getsockopt(zmq.EVENTS))
        self._look_again()
        return bool(events & zmq.POLLOUT)


class CurveGate(_Socket):
    """Lets those publishers in whose public keys are known (CURVE; ZAP, ZeroMQ RFC 27).

    The sockets that it guards share its context, and are closed before it.
    """

    def __init__(self, secret_key: bytes, client_keys: Iterable[str]) -> None:
        """Keys are as Z85, 40 characters. Raises ConfigError for a secret that is none."""
        super().__init__(zmq.ROUTER)
        self._secret_key = secret_key
        self._clients = frozenset(z85.decode(key) for key in client_keys)
        try:
            self._public_key = zmq.curve_public(secret_key)
        except (zmq.ZMQError, ValueError) as error:
            self.close()
            message = "is no secret key of CURVE: 40 characters of Z85"
            raise ConfigError([Problem("publish.curve_key", message)]) from error
        self._socket.bind("inproc://zeromq.zap.01")

    @property
    def context(self) -> "zmq.Context[zmq.Socket[bytes]]":
        """Where the sockets that it guards are made."""
        return self._context

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Have a socket, which is not bound yet, let nobody else in."""
        socket.curve_server = True
        socket.curve_secretkey = self._secret_key

    def present(self, socket: "zmq.Socket[bytes]", server_key: str) -> None:
        """Have a socket, which is not connected yet, show its key to who has this one."""
        socket.curve_serverkey = server_key.encode()
        socket.curve_publickey = self._public_key
        socket.curve_secretkey = self._secret_key

    async def run(self) -> None:
        """Answer whether those who connect may, until cancelled. Nobody gets in meanwhile."""
        while True:
            for message in await self.receive():
                sender, empty, version, request, _domain, address, _identity, *proof = message
                is_known = proof[0] == b"CURVE" and proof[1] in self._clients
                if not is_known:
                    peer = address.decode(errors="replace").removeprefix("::ffff:")
                    log.warning("publisher refused", peer=peer)
                status = (b"200", b"OK") if is_known else (b"400", b"unknown key")
                self.send([sender, empty, version, request, *status, b"", b""])


class RouterSocket(_Socket):
    """A bound ROUTER socket: messages begin with parts that lead back to their senders.

    A reply to somebody who does not take so many is dropped.
    """

    def __init__(
        self,
        endpoint: str,
        ipc_mode: int | None = None,
        gate: "CurveGate | None" = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when the endpoint can't be bound."""
        super().__init__(zmq.ROUTER, gate)
        self._socket.rcvhwm = self._socket.sndhwm = _HIGH_WATER_MARK
        self._listen(endpoint, "publish.command", ipc_mode, sockets)


class PairSocket(_Socket):
    """One end of an ordered link between two processes of ours. Whoever uses it bounds it.

    Nothing is lost while both ends live.
    """

    def __init__(self, endpoint: str, *, bind: bool) -> None:
        """Raises ConfigError when the endpoint can't be had."""
        super().__init__(zmq.PAIR)
        self._socket.sndhwm = self._socket.rcvhwm = 0  # bounded in bytes by its user
        try:
            if bind:
                self._socket.bind(endpoint)
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:  # the path of a unix socket must not be long
            self.close()
            message = f"can't make the link {endpoint}: {error}"
            raise ConfigError([Problem("server.workers", message)]) from error


class PubSocket(_Socket):
    """A bound socket for SUB sockets. Nothing is kept for those who are not there, or too slow."""

    def __init__(
        self,
        endpoint: str,
        ipc_mode: int | None = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when the endpoint can't be bound."""
        super().__init__(zmq.XPUB)  # a PUB that tells what is subscribed to
        self._prefixes: set[bytes] = set()
        self._socket.sndhwm = _STATS_HIGH_WATER_MARK
        if endpoint.startswith("ipc://"):  # Pushpin made its run directory, too
            with contextlib.suppress(OSError):  # what is wrong with it, binding tells
                Path(endpoint.removeprefix("ipc://")).parent.mkdir(parents=True, exist_ok=True)
        self._listen(endpoint, "stats.pub", ipc_mode, sockets)

    async def listeners_change(self) -> None:
        """Come back when others may be subscribed than `is_wanted` knew of, or when closed."""
        await self._signal()

    def close(self) -> None:
        """Give the address and the context back."""
        self._waiting.cancel()
        super().close()

    def is_wanted(self, topic: bytes) -> bool:
        """True if somebody is subscribed to messages that begin like this, or to some of them."""
        while notices := self._take():
            self._waiting.cancel()  # whoever waits for these has not been told otherwise
            for (notice,) in notices:
                prefix = notice[1:]
                if notice[:1] == b"\x01":
                    self._prefixes.add(prefix)
                else:
                    self._prefixes.discard(prefix)
        return any(
            prefix.startswith(topic) or topic.startswith(prefix) for prefix in self._prefixes
        )
