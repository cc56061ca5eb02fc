"""The bytes of each way to receive."""

import json

import attrs
import pytest

from realtime_proxy.sessions.sockjs_transport import NEEDS_CALLBACK, TRANSPORTS

FRAME = 'a["x"]'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"xhr", b'a["x"]\n'),
        (b"xhr_streaming", b'a["x"]\n'),
        (b"eventsource", b'data: a["x"]\r\n\r\n'),
        (b"jsonp", b'/**/p.cb("a[\\"x\\"]");\n'),
        (b"htmlfile", b'<script>\np("a[\\"x\\"]");\n</script>\r\n'),
    ],
)
def test_a_frame(name: bytes, expected: bytes) -> None:
    assert attrs.evolve(TRANSPORTS[name], callback="p.cb").encode(FRAME) == expected


@pytest.mark.parametrize("name", TRANSPORTS)
def test_what_streams_begins_with_what_browsers_wait_for(name: bytes) -> None:
    transport = attrs.evolve(TRANSPORTS[name], callback="cb")
    assert bool(transport.prelude()) == transport.streams


def test_preludes_are_long_enough() -> None:
    assert TRANSPORTS[b"xhr_streaming"].prelude() == b"h" * 2048 + b"\n"
    page = attrs.evolve(TRANSPORTS[b"htmlfile"], callback="_jp.a1").prelude()
    assert len(page) >= 1024
    assert b"parent._jp.a1;" in page


def test_a_message_can_not_end_the_script_that_it_is_in() -> None:
    message = "</script><script>alert(1)</script><!--"
    data = TRANSPORTS[b"htmlfile"].encode(message).decode()
    assert data.count("<") == 2  # of the script itself
    assert json.loads(data.partition("p(")[2].rpartition(");")[0]) == message


def test_those_with_a_page_need_the_name_of_its_function() -> None:
    assert set(TRANSPORTS) >= NEEDS_CALLBACK
