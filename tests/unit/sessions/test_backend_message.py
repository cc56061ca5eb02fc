"""What a backend's message is to the proxy."""

import pytest

from realtime_proxy.grip.control_message import Detach, Subscribe
from realtime_proxy.sessions.backend_message import backend_message
from realtime_proxy.sessions.effects import Control, SendMessage
from realtime_proxy.wire.websocket_frame import Opcode

SUBSCRIBE = b'c:{"type": "subscribe", "channel": "a"}'


@pytest.mark.parametrize("opcode", Opcode)
@pytest.mark.parametrize("content", [b"", b"x", b"m:x", SUBSCRIBE])
def test_without_grip_everything_is_for_the_client(opcode, content):
    assert backend_message(opcode, content, None) == SendMessage(opcode, content)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
def test_pings_and_pongs_have_no_prefix(opcode):
    assert backend_message(opcode, b"m:x", b"m:") == SendMessage(opcode, b"m:x")


@pytest.mark.parametrize(
    ("opcode", "content", "prefix", "effect"),
    [
        (Opcode.TEXT, b"m:x", b"m:", SendMessage(Opcode.TEXT, b"x")),
        (Opcode.BINARY, b"m:", b"m:", SendMessage(Opcode.BINARY, b"")),
        (Opcode.TEXT, b"x", b"m:", None),
        (Opcode.TEXT, b"x", b"", SendMessage(Opcode.TEXT, b"x")),
        (Opcode.TEXT, SUBSCRIBE, b"m:", Control(Subscribe("a"))),
        (Opcode.TEXT, SUBSCRIBE, b"", Control(Subscribe("a"))),
        (Opcode.TEXT, b'c:{"type": "detach"}', b"m:", Control(Detach())),
        (Opcode.TEXT, b"c:nonsense", b"", None),
        (Opcode.BINARY, SUBSCRIBE, b"m:", None),
        (Opcode.BINARY, SUBSCRIBE, b"", SendMessage(Opcode.BINARY, SUBSCRIBE)),
    ],
)
def test_with_grip(opcode, content, prefix, effect):
    assert backend_message(opcode, content, prefix) == effect
