import json

import tnetstring

from realtime_proxy.metrics.packet import Packet, encode_packet

PACKET = Packet("sub", {"mode": "stream", "channel": "é", "ttl": 60, "unavailable": True})
MEMBERS = {"from": "me", "mode": "stream", "channel": "é", "ttl": 60, "unavailable": True}


def test_as_json():
    kind, _, rest = encode_packet(PACKET, "me", "json").partition(b" ")
    assert kind == b"sub"
    assert rest[:1] == b"J"
    assert json.loads(rest[1:]) == MEMBERS


def test_as_tnetstring_with_texts_as_bytes():
    kind, _, rest = encode_packet(PACKET, "me", "tnetstring").partition(b" ")
    assert kind == b"sub"
    assert rest[:1] == b"T"
    assert tnetstring.loads(rest[1:]) == {
        name.encode(): value.encode() if isinstance(value, str) else value
        for name, value in MEMBERS.items()
    }
