"""Grip-Keep-Alive; the instruct vectors have its errors."""

import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.keep_alive import (
    KeepAlive,
    KeepAliveMode,
    comments_every,
    parse_keep_alive,
)


@pytest.mark.parametrize(
    ("value", "keep_alive"),
    [
        (b"x", KeepAlive(b"x", 55, KeepAliveMode.IDLE)),
        (b" a, b ", KeepAlive(b"a, b")),
        (b'"a"; timeout="7"', KeepAlive(b'"a"', 7)),
        (b"x; timeout=0", KeepAlive(b"x", 1)),
        (b"x; mode=idle", KeepAlive(b"x")),
        (b"x; Mode=interval", KeepAlive(b"x", 55, KeepAliveMode.INTERVAL)),
        (b"\\n; format=raw", KeepAlive(b"\\n")),
        (b"\\n; format=", KeepAlive(b"\\n")),
        (b":\\n\\r\\\\\\x00\\xfFn; format=cstring", KeepAlive(b":\n\r\\\x00\xffn")),
        (b"\\\\n; format=cstring", KeepAlive(b"\\n")),
        (b"AA E; format=base64", KeepAlive(b"\x00\x01")),
        (b"\xff", KeepAlive(b"\xff")),
    ],
)
def test_keep_alive(value, keep_alive):
    assert parse_keep_alive(value) == keep_alive


@pytest.mark.parametrize("escape", [b"\\", b"\\t", b"\\0", b"\\x", b"\\x1", b"\\xg0", b"\\X41"])
def test_unknown_escapes_are_refused(escape):
    with pytest.raises(GripError, match="cstring"):
        parse_keep_alive(b"x" + escape + b"; format=cstring")


def test_comments_end_no_event_that_has_begun():
    assert comments_every(20) == KeepAlive(b":\n", 20)
    assert comments_every(0) is None
