"""Filters on the body of a response with instructions: only build-id, and only once."""

import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.hold import Channel
from realtime_proxy.grip.response_content import ResponseContent, filtered_body

BUILD = [Channel("a", filters=("skip-self", "build-id")), Channel("b", filters=("build-id",))]
OTHERS = [Channel("a", filters=("var-subst", "http-modify"))]


@pytest.mark.parametrize(
    ("meta", "result"),
    [
        ({"id_format": "x"}, b"<abc>100%\n"),
        ({"id_format": "x", "id_encoding": "hex"}, b"<616263>100%\n"),
    ],
)
def test_ids_are_built(meta, result):
    assert filtered_body(BUILD, meta, b"<%(abc)I>100%%\n") == result


@pytest.mark.parametrize("channels", [[], OTHERS])
def test_other_filters_leave_the_body_alone(channels):
    assert filtered_body(channels, {"user": "u"}, b"%(user)s %I %") == b"%(user)s %I %"


def test_a_directive_in_pieces():
    content = ResponseContent(BUILD, {"id_format": "x"})
    parts = [content.feed(bytes([byte])) for byte in b"<%(abc)I>"]
    content.finish()
    assert parts == [b"<", *[b""] * 6, b"abc", b">"]


@pytest.mark.parametrize(
    ("meta", "body", "error"),
    [
        ({}, b"body", "no sub meta 'id_format'"),
        ({"id_format": "x"}, b"%I", "No ID specified and no default ID in context at position 1"),
        ({"id_format": "x"}, b"%(ab", "Unterminated field starting at position 1"),
        ({"id_format": "x"}, b"%s", "Unknown directive 's' at position 1"),
    ],
)
def test_errors_are_those_of_the_instructions(meta, body, error):
    with pytest.raises(GripError) as raised:
        filtered_body(BUILD, meta, body)
    assert str(raised.value) == f"filter error: build-id: {error}"
