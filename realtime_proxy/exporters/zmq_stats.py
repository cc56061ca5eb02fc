"""Statistics over a ZeroMQ PUB socket."""

from collections.abc import Iterable
from typing import Protocol

from realtime_proxy.metrics.packet import Packet, encode_packet


class Publisher(Protocol):
    """Where encoded packets go."""

    def send(self, parts: list[bytes], /) -> object:
        """Send a message to whoever listens."""

    def is_wanted(self, topic: bytes, /) -> bool:
        """True if anybody would get a message that begins like this."""


class ZmqStats:
    """Writes packets as `[stats]` says; `sender` names this instance in each."""

    def __init__(self, socket: Publisher, packet_format: str, sender: str) -> None:
        self._socket = socket
        self._format = packet_format
        self._sender = sender

    def tells(self, kind: str) -> bool:
        """True if somebody listens to packets of a kind: most instances have nobody."""
        return self._socket.is_wanted(f"{kind} ".encode())

    def send(self, packets: Iterable[Packet]) -> None:
        """Tell whoever listens."""
        told: dict[str, bool] = {}
        for packet in packets:
            if packet.kind not in told:
                told[packet.kind] = self.tells(packet.kind)
            if told[packet.kind]:
                self._socket.send([encode_packet(packet, self._sender, self._format)])
