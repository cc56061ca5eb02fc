"""Backends that take requests over ZeroMQ: REP sockets that connect here, as with Pushpin."""

import itertools
import os
from collections.abc import Mapping

import attrs
import structlog
import trio

from realtime_proxy.errors import (
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
    ConfigError,
    GripError,
    Problem,
)
from realtime_proxy.grip.zhttp import ZhttpReply, encode_request
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.net.zmq_socket import DealerSocket

# Of a request's body, and of a reply.
MAX_BODY_BYTES = 10_000_000
_MAX_REPLY_BYTES = MAX_BODY_BYTES + 100_000

log = structlog.get_logger()


@attrs.frozen
class ZhttpAddress:
    """A ZeroMQ address that handlers connect to; with `connect`, one that they wait at."""

    endpoint: str
    connect: bool = False
    ipc_mode: int | None = None


@attrs.define(eq=False)
class _Waiting:
    """A request on its way, and its reply."""

    answered: trio.Event = attrs.field(factory=trio.Event)
    reply: ZhttpReply | None = None


class _Peer:
    """One address, and the requests that wait for replies from there."""

    def __init__(self, address: ZhttpAddress, key_path: str) -> None:
        self._socket = DealerSocket(
            address.endpoint, key_path, _MAX_REPLY_BYTES, address.ipc_mode, connect=address.connect
        )
        self._sender = f"realtime-proxy-{os.getpid()}".encode()
        self._numbers = itertools.count()
        self._waiting: dict[bytes, _Waiting] = {}
        self.scope = trio.CancelScope()

    @property
    def is_reachable(self) -> bool:
        return self._socket.can_send

    async def ask(
        self, scheme: str, head: RequestHead, body: bytes, timeout_seconds: float
    ) -> Response:
        number = b"%d" % next(self._numbers)
        waiting = self._waiting[number] = _Waiting()
        try:
            message = encode_request(self._sender, number, scheme, head, body)
            if not self._socket.send([b"", message]):
                raise unreachable()
            with trio.move_on_after(timeout_seconds):
                await waiting.answered.wait()
        finally:
            self._waiting.pop(number, None)
        if waiting.reply is not None:
            return waiting.reply.response()
        if waiting.answered.is_set():
            raise BackendMisbehaved("its address is no longer configured")
        raise BackendTimeout("no answer in time")

    async def run(self) -> None:
        """Take replies until cancelled, then give the address back."""
        try:
            with self.scope:
                while True:
                    for parts in await self._socket.receive():
                        self._arrived(parts)
        finally:
            self.close()

    def close(self) -> None:
        self._socket.close()
        for waiting in self._waiting.values():
            waiting.answered.set()

    def _arrived(self, parts: list[bytes]) -> None:
        try:
            reply = ZhttpReply.parse(parts[-1])
        except GripError as error:
            log.warning("reply ignored", problem=str(error))
            return
        waiting = self._waiting.get(reply.id)
        if waiting is None:
            log.info("reply ignored: it comes too late, or to no request", id=reply.id[:40])
            return
        waiting.reply = reply
        waiting.answered.set()


class ZhttpPeers:
    """All addresses of the configuration; their sockets stay while others come and go."""

    def __init__(self) -> None:
        self._peers: dict[ZhttpAddress, _Peer] = {}
        self._running: set[ZhttpAddress] = set()
        self._nursery: trio.Nursery | None = None

    def open(self, addresses: Mapping[ZhttpAddress, str]) -> None:
        """Have a socket for each address. Raises ConfigError; the values are key paths for that.

        May run in a thread.
        """
        problems: list[Problem] = []
        for address, key_path in addresses.items():
            if address not in self._peers:
                try:
                    self._peers[address] = _Peer(address, key_path)
                except ConfigError as error:
                    problems += error.problems
        if problems:
            raise ConfigError(problems)

    def keep(self, addresses: Mapping[ZhttpAddress, str]) -> None:
        """From now on only these are needed; they are open."""
        for address in [one for one in self._peers if one not in addresses]:
            peer = self._peers.pop(address)
            self._running.discard(address)
            peer.scope.cancel()
        self._start()

    async def run(self) -> None:
        """Take replies until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._start()
                await trio.sleep_forever()
        finally:
            self.close()

    def close(self) -> None:
        """Give all addresses back."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()

    def _start(self) -> None:
        if self._nursery is not None:
            for address in self._peers.keys() - self._running:
                self._running.add(address)
                self._nursery.start_soon(self._peers[address].run)

    def require(self, address: ZhttpAddress) -> None:
        """Raises BackendUnreachable when nobody is there to take a request."""
        peer = self._peers.get(address)
        if peer is None or not peer.is_reachable:
            raise unreachable()

    async def ask(
        self,
        address: ZhttpAddress,
        scheme: str,
        head: RequestHead,
        body: bytes,
        timeout_seconds: float,
    ) -> Response:
        """The response to a request. Raises BackendError, or ProtocolError (411)."""
        self.require(address)
        return await self._peers[address].ask(scheme, head, body, timeout_seconds)


def unreachable() -> BackendUnreachable:
    """Nobody has connected who could take a request, or all have enough of them."""
    return BackendUnreachable("Error: zhttp service for route is unreachable.")
