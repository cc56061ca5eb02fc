import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.routing.forwarded_field import read_forwarded

names = st.from_regex(rb"[a-z]{1,5}", fullmatch=True)
values = st.binary(max_size=20)


def written(value):
    if re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        return value
    return b'"%b"' % re.sub(rb'(["\\\\])', rb"\\\1", value)


@given(st.lists(st.dictionaries(names, values, min_size=1, max_size=3), max_size=4))
def test_what_is_written_is_read(elements):
    text = b", ".join(
        b" ; ".join(b"%b=%b" % (name, written(value)) for name, value in element.items())
        for element in elements
    )
    assert read_forwarded(text) == elements


@given(st.text(alphabet='for=";,\\\\ \t1.2', max_size=30))
def test_anything_is_read_or_is_nothing(text):
    for element in read_forwarded(text.encode()):
        assert element


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        (b"", []),
        (b" , ;", []),
        (
            b"For=1.1.1.1:80;PROTO=http,,by=a;",
            [{b"for": b"1.1.1.1:80", b"proto": b"http"}, {b"by": b"a"}],
        ),
        (b'for="a, for=b";proto=x', [{b"for": b"a, for=b", b"proto": b"x"}]),
        (b"for=[::1]", [{b"for": b"[::1]"}]),
    ],
)
def test_forms(text, elements):
    assert read_forwarded(text) == elements


@pytest.mark.parametrize(
    "text",
    [b'for="a', b"for", b"for=", b"for=a b", b"for=a;for=b", b"=a", b'for=a"b"', b"for=a\\b"],
)
def test_what_is_malformed_says_nothing(text):
    assert read_forwarded(text) == read_forwarded(text + b", for=1.1.1.1") == []
