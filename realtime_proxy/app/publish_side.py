"""The ports where publishers connect, in front of a door or a hub."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import trio

from realtime_proxy.config.addresses import parse_mode, parse_tcp
from realtime_proxy.config.schema import Publish
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.inputs.http_control import HttpControl
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.inputs.zmq_commands import ZmqCommands
from realtime_proxy.inputs.zmq_items import ZmqItems, item_of_topic, pushed_item
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.internal_http import InternalHttpServer, InternalLimits
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard
from realtime_proxy.net.zmq_socket import CurveGate, PullSocket, RouterSocket, SubSocket


class PublishSide:
    """Opened at once, so that what is wrong is known before clients come; served by `run`."""

    def __init__(
        self,
        settings: Publish,
        counters: Counters,
        base_dir: Path,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when an address can't be had, or a key can't be used."""
        self._settings = settings
        self._counters = counters
        self._limits = InternalLimits(settings.max_header_bytes, settings.max_body_bytes)
        self._guard = _guard(settings, publish_key(settings, base_dir))
        self._answers: HttpControl | None = None
        self._gate: CurveGate | None = None
        self._pull: PullSocket | None = None
        self._sub: SubSocket | None = None
        self._command: RouterSocket | None = None
        self._control: socket.socket | None = None
        self._inputs: list[ZmqItems | ZmqCommands] = []
        self._server: InternalHttpServer | None = None
        sockets = sockets or ListeningSockets()
        with contextlib.ExitStack() as opened:
            mode = parse_mode(settings.ipc_mode) if settings.ipc_mode else None
            if settings.curve_key:
                secret = resolve_secret(settings.curve_key, base_dir)
                self._gate = opened.enter_context(CurveGate(secret, settings.curve_clients))
            if settings.pull:
                pull = PullSocket(settings.pull, mode, self._gate, sockets)
                self._pull = opened.enter_context(pull)
            if settings.sub:
                self._sub = opened.enter_context(self._sub_socket(mode, sockets))
            if settings.command:
                command = RouterSocket(settings.command, mode, self._gate, sockets)
                self._command = opened.enter_context(command)
            if settings.http:
                control = sockets.open(parse_tcp(settings.http), "publish.http")
                self._control = opened.enter_context(control)
            self._opened = opened.pop_all()

    def _sub_socket(self, mode: int | None, sockets: ListeningSockets) -> SubSocket:
        settings = self._settings
        if settings.sub_connect:
            return SubSocket.connected(settings.sub, self._gate, settings.curve_server)
        return SubSocket(settings.sub, mode, self._gate, sockets)

    def adopt(self, settings: Publish, key: BearerKey | None) -> None:
        """Go by these limits and names, and this key, from now on; addresses stay."""
        self._limits.max_header_bytes = settings.max_header_bytes
        self._limits.max_body_bytes = settings.max_body_bytes
        if self._answers is not None and settings.http:
            self._answers.guard = _guard(settings, key)

    async def run(self, publishing: Publishing) -> None:
        """Take items until cancelled."""
        with contextlib.closing(self):
            async with trio.open_nursery() as nursery:
                if self._gate is not None:
                    nursery.start_soon(self._gate.run)
                for one in self._zmq_inputs(publishing):
                    self._inputs.append(one)
                    nursery.start_soon(one.run)
                if self._control is not None:
                    self._answers = HttpControl(publishing, self._guard, self._counters)
                    self._server = InternalHttpServer(self._limits, self._answers.answer)
                    nursery.start_soon(self._server.run, self._control)

    def _zmq_inputs(self, publishing: Publishing) -> Iterator[ZmqItems | ZmqCommands]:
        if self._pull is not None:
            yield ZmqItems(self._pull, pushed_item, publishing, self._counters)
        if self._sub is not None:
            publishing.show_channels(self._sub)
            yield ZmqItems(self._sub, item_of_topic, publishing, self._counters)
        if self._command is not None:
            yield ZmqCommands(self._command, self._settings, publishing)

    async def send_away(self) -> None:
        """Have publishers go to the process that listens with the same sockets.

        What they have sent here before is taken.
        """
        if self._server is not None:
            self._server.end()
        async with trio.open_nursery() as nursery:
            for one in self._inputs:
                nursery.start_soon(one.send_away)

    def close(self) -> None:
        """Give the addresses back."""
        self._opened.close()


def publish_key(settings: Publish, base_dir: Path) -> BearerKey | None:
    """The key that publishers need. Raises ConfigError."""
    return BearerKey.of(settings.key, "publish.key", base_dir)


def _guard(settings: Publish, key: BearerKey | None) -> PortGuard:
    if settings.allow_unauthenticated:  # everybody may publish, by whatever name
        hosts = OwnHosts(None)
    elif not settings.http:
        hosts = OwnHosts()
    else:
        hosts = OwnHosts.of(parse_tcp(settings.http), settings.http_names)
    return PortGuard("publish", hosts, "[publish] http_names does not have that name", key)
