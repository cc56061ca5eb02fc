"""Packets of the statistics socket: `KIND SP F PAYLOAD`, where F is T (TNetString) or J (JSON)."""

from typing import Any, NamedTuple

import msgspec
import tnetstring


class Packet(NamedTuple):
    """One message to whoever listens; members without a value are left out already."""

    kind: str
    members: dict[str, Any]


def encode_packet(packet: Packet, sender: str, packet_format: str) -> bytes:
    """A packet as it is sent, with its sender as `from`; `packet_format`: tnetstring or json."""
    members = {"from": sender, **packet.members}
    if packet_format == "json":
        return packet.kind.encode() + b" J" + msgspec.json.encode(members)
    values = {
        name.encode(): value.encode(errors="surrogateescape") if isinstance(value, str) else value
        for name, value in members.items()
    }
    data: bytes = tnetstring.dumps(values)
    return packet.kind.encode() + b" T" + data
