"""Statistics over a ZeroMQ PUB socket."""

from collections.abc import Iterable
from typing import Protocol

from realtime_proxy.metrics.packet import Packet, encode_packet


class Publisher(Protocol):
    """Where encoded packets go."""

    def send(self, parts: list[bytes], /) -> object:
        """Send a message to whoever listens."""


class ZmqStats:
    """Writes packets as `[stats]` says; `sender` names this instance in each."""

    def __init__(self, socket: Publisher, packet_format: str, sender: str) -> None:
        self._socket = socket
        self._format = packet_format
        self._sender = sender

    def send(self, packets: Iterable[Packet]) -> None:
        """Tell whoever listens."""
        for packet in packets:
            self._socket.send([encode_packet(packet, self._sender, self._format)])
