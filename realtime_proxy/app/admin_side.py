"""The port for operators and load balancers, in front of a door or a hub."""

import contextlib
import socket
from pathlib import Path

from realtime_proxy.config.addresses import parse_address
from realtime_proxy.config.admin_section import Admin
from realtime_proxy.inputs.admin_port import LIMITS, AdminPort
from realtime_proxy.inputs.consumer_api import ConsumerApi
from realtime_proxy.inputs.consumer_store import ConsumerStore
from realtime_proxy.inputs.overview import Overview
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.internal_http import InternalHttpServer
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard


class AdminSide:
    """Opened at once, so that what is wrong is known before clients come; served by `run`."""

    def __init__(
        self,
        settings: Admin,
        overview: Overview,
        base_dir: Path,
        store: ConsumerStore | None = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        """Raises ConfigError when the address can't be had, or the key can't be used."""
        self._listener: socket.socket | None = None
        key = admin_key(settings, base_dir)
        consumers = None if store is None else ConsumerApi(store)
        self._port = AdminPort(overview, _guard(settings, key), consumers)
        if settings.listen:
            address = parse_address(settings.listen)
            self._listener = (sockets or ListeningSockets()).open(address, "admin.listen")
        self._server = InternalHttpServer(LIMITS, self._port.answer)

    def turn(self, readiness: Readiness) -> None:
        """From now on, load balancers are told this."""
        self._port.readiness = readiness

    def adopt(self, settings: Admin, key: BearerKey | None) -> None:
        """Go by these names and this key from now on; the address stays."""
        self._port.guard = _guard(settings, key)

    async def run(self) -> None:
        """Serve until cancelled; nothing if there is no such port."""
        if self._listener is not None:
            with contextlib.closing(self):
                await self._server.run(self._listener)

    def end(self) -> None:
        """Take nobody more: another process answers at this address."""
        self._server.end()

    def close(self) -> None:
        """Give the address back."""
        if self._listener is not None:
            self._listener.close()


def admin_key(settings: Admin, base_dir: Path) -> BearerKey | None:
    """The key that operators need. Raises ConfigError."""
    return BearerKey.of(settings.key, "admin.key", base_dir)


def _guard(settings: Admin, key: BearerKey | None) -> PortGuard:
    hosts = OwnHosts()
    if settings.listen:
        hosts = OwnHosts.of(parse_address(settings.listen), settings.names)
    return PortGuard("admin", hosts, "[admin] names does not have that name", key)
