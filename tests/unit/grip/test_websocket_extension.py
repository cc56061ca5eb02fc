"""The grip extension in a backend's acceptance of a WebSocket."""

import pytest

from realtime_proxy.grip.websocket_extension import (
    grip_extensions,
    message_prefix,
    other_extensions,
)
from realtime_proxy.model.headers import Headers


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [
        ([], None),
        ([b""], None),
        ([b"permessage-deflate"], None),
        ([b"grip"], b"m:"),
        ([b"GRIP"], b"m:"),
        ([b'grip; message-prefix=""'], b""),
        ([b"grip; message-prefix"], b""),
        ([b"grip; message-prefix=x"], b"x"),
        ([b'grip; Message-Prefix="a, \\"b\\";"'], b'a, "b";'),
        ([b"permessage-deflate; client_max_window_bits, grip"], b"m:"),
        ([b"permessage-deflate", b"grip; other=1"], b"m:"),
        ([b"gripe"], None),
        ([b'grip; message-prefix="x'], None),
    ],
)
def test_prefix(lines, prefix):
    headers = Headers((b"Sec-WebSocket-Extensions", line) for line in lines)
    assert message_prefix(headers) == prefix


@pytest.mark.parametrize(
    ("lines", "others"),
    [
        ([], []),
        ([b'GRIP; message-prefix="a, b"'], []),
        ([b"permessage-deflate; x=1, grip", b"y"], [b"permessage-deflate; x=1", b"y"]),
        ([b"gripe"], [b"gripe"]),
    ],
)
def test_other_extensions(lines, others):
    headers = Headers((b"Sec-WebSocket-Extensions", line) for line in lines)
    assert other_extensions(headers) == others


def test_grip_extensions():
    lines = [b'permessage-deflate, GRIP; message-prefix="a, b"', b"gripe, grip"]
    headers = Headers((b"Sec-WebSocket-Extensions", line) for line in lines)
    assert grip_extensions(headers) == [b'GRIP; message-prefix="a, b"', b"grip"]
