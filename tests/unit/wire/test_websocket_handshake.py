import base64

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.wire.websocket_handshake import accept_token, is_upgrade, new_key, token_for

KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")  # the one of RFC 6455 1.3
VERSION = (b"Sec-WebSocket-Version", b"13")
UPGRADE = (b"Upgrade", b"websocket")
CONNECTION = (b"Connection", b"keep-alive, Upgrade")


def upgrade(*fields, method=b"GET", version=b"1.1"):
    return RequestHead(method, b"/", Headers(fields), version)


@pytest.mark.parametrize("value", [b"websocket", b"WebSocket", b"h2c, WEBSOCKET"])
def test_an_upgrade_is_known_in_any_case(value):
    assert is_upgrade(Headers([(b"UPGRADE", value)]))


@pytest.mark.parametrize("fields", [[], [(b"Upgrade", b"h2c")], [(b"Upgrade", b"websockets")]])
def test_what_is_no_upgrade(fields):
    assert not is_upgrade(Headers(fields))


def test_the_token_of_the_standard():
    head = upgrade(UPGRADE, CONNECTION, VERSION, KEY)
    assert accept_token(head) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "head",
    [
        upgrade(UPGRADE, CONNECTION, VERSION, KEY, method=b"POST"),
        upgrade(UPGRADE, CONNECTION, VERSION, KEY, version=b"1.0"),
        upgrade(UPGRADE, (b"Connection", b"close"), VERSION, KEY),
        upgrade(UPGRADE, VERSION, KEY),
        upgrade(UPGRADE, CONNECTION, KEY),
        upgrade(UPGRADE, CONNECTION, (b"Sec-WebSocket-Version", b"8"), KEY),
        upgrade(UPGRADE, CONNECTION, VERSION, VERSION, KEY),
        upgrade(UPGRADE, CONNECTION, VERSION),
        upgrade(UPGRADE, CONNECTION, VERSION, KEY, KEY),
        *(
            upgrade(UPGRADE, CONNECTION, VERSION, (b"Sec-WebSocket-Key", key))
            for key in (b"", b"short", b"!" * 24, b"\xff" * 24, base64.b64encode(b"a" * 15))
        ),
    ],
)
def test_what_is_no_valid_upgrade(head):
    assert accept_token(head) is None


def test_key_and_its_answer():
    assert token_for(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
    assert len(base64.b64decode(new_key())) == 16
    assert new_key() != new_key()
