"""The ports where publishers connect, in front of a door or a hub."""

import contextlib
import socket

import trio

from realtime_proxy.config.addresses import parse_mode, parse_tcp
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.http_control import HttpControl, Publishing
from realtime_proxy.inputs.own_hosts import OwnHosts
from realtime_proxy.inputs.zmq_pull import ZmqPull
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.internal_http import InternalHttpServer, InternalLimits
from realtime_proxy.net.listeners import open_listener
from realtime_proxy.net.zmq_socket import PullSocket


class PublishSide:
    """Opened at once, so that what is wrong is known before clients come; served by `run`."""

    def __init__(self, settings: Publish, counters: Counters) -> None:
        """Raises ConfigError when an address can't be had."""
        self._counters = counters
        self._limits = InternalLimits(settings.max_header_bytes, settings.max_body_bytes)
        self._pull: PullSocket | None = None
        self._control: socket.socket | None = None
        self._hosts = OwnHosts.of(settings) if settings.http else OwnHosts()
        if settings.pull:
            mode = parse_mode(settings.ipc_mode) if settings.ipc_mode else None
            self._pull = PullSocket(settings.pull, mode)
        try:
            if settings.http:
                self._control = open_listener(parse_tcp(settings.http))
        except BaseException:
            self.close()
            raise

    async def run(self, publishing: Publishing) -> None:
        """Take items until cancelled."""
        with contextlib.closing(self):
            async with trio.open_nursery() as nursery:
                if self._pull is not None:
                    nursery.start_soon(ZmqPull(self._pull, publishing, self._counters).run)
                if self._control is not None:
                    control = InternalHttpServer(
                        self._limits, HttpControl(publishing, self._hosts).answer
                    )
                    nursery.start_soon(control.run, self._control)

    def close(self) -> None:
        """Give the addresses back."""
        if self._pull is not None:
            self._pull.close()
        if self._control is not None:
            self._control.close()
