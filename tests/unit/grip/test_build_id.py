"""build-id: ids of what a client has, in content."""

import pytest

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.build_id import id_substitute
from realtime_proxy.grip.template import rendered

IDS = {"a": "6", "b": "9", "empty": "", "unknown": None}


def built(content, ids=IDS, **meta):
    return rendered(content, id_substitute(meta, ids))


@pytest.mark.parametrize(
    ("content", "form", "result"),
    [
        (b"id: %I\ndata: x\n\n", "%(a)s_%(b)s", b"id: 6_9\ndata: x\n\n"),
        (b"%I%I", "x", b"xx"),
        (b"%I", "", b""),
        (b"%I", "<%(empty)s>", b"<>"),
        (b"%I", "100%%", b"100%"),
        (b"%(a\\)b)I %%", "x", b"a)b %"),
        (b"plain", "%(nobody)s", b"plain"),
    ],
)
def test_ids_in_content(content, form, result):
    assert built(content, id_format=form) == result


def test_hex():
    assert built(b"<%(abc)I %I>", id_format="%(a)s_", id_encoding="hex") == b"<616263 365f>"


@pytest.mark.parametrize(
    ("content", "meta", "error"),
    [
        (b"plain", {}, "no sub meta 'id_format'"),
        (b"plain", {"id_format": "x", "id_encoding": "b64"}, "unsupported encoding: b64"),
        (b"plain", {"id_format": "x", "id_encoding": ""}, "unsupported encoding: "),
        (
            b"ab%I",
            {"id_format": "%(c)s"},
            "failed to render ID: No such variable 'c' at position 4",
        ),
        (
            b"%I",
            {"id_format": "%(unknown)s"},
            "failed to render ID: No such variable 'unknown' at position 10",
        ),
        (
            b"%I",
            {"id_format": "%"},
            "failed to render ID: Expected directive after '%' at position 0",
        ),
        (b"%s", {"id_format": "x"}, "Unknown directive 's' at position 1"),
        (b"%(a)s", {"id_format": "x"}, "Unknown directive 's' at position 4"),
    ],
)
def test_errors(content, meta, error):
    with pytest.raises(FilterError) as raised:
        built(content, **meta)
    assert str(raised.value) == error


def test_without_a_session_only_given_ids_are_built():
    assert built(b"%(x)I", None, id_format="%(a)s") == b"x"
    with pytest.raises(FilterError, match="No ID specified and no default ID in context"):
        built(b"%I", None, id_format="x")
