"""Fields of forms: found, and taken out without touching the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline import Form

URLENCODED = "application/x-www-form-urlencoded; charset=utf-8"


def form(content_type, body):
    headers = Headers([(b"Content-Type", content_type.encode())])
    assert Form.is_in(headers)
    return Form.of(headers, body)


def part(name, value, further=b""):
    head = b'Content-Disposition: form-data; name="' + name + b'"' + further
    return b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


END = b"--b--\r\n"
MULTIPART = part(b"a", b"1") + part(b"key", b"k\r\n--x") + part(b"b", b"2") + END


def test_urlencoded():
    written = form(URLENCODED, b"a=1&k%65y=s+1%26&b")
    assert written.values(b"key") == [b"s 1&"]
    assert written.values(b"a") == [b"1"]
    assert written.without({b"key"}) == b"a=1&b"
    assert written.without({b"other"}) == b"a=1&k%65y=s+1%26&b"
    assert form(URLENCODED, b"key=1").without({b"key"}) == b""
    assert form(URLENCODED, b"").values(b"key") == []


@pytest.mark.parametrize("boundary", ["b", '"b"', "b; charset=utf-8"])
def test_multipart(boundary):
    written = form(f"multipart/form-data; boundary={boundary}", MULTIPART)
    assert written.values(b"key") == [b"k\r\n--x"]
    assert written.without({b"key"}) == part(b"a", b"1") + part(b"b", b"2") + END
    assert written.without({b"a"}).startswith(b"--b\r\n")
    assert written.without({b"other"}) == MULTIPART


def test_several_of_one_name_and_files():
    body = b"before\r\n" + part(b"key", b"1", b'; filename="f"') + part(b"key", b"2") + END
    written = form("multipart/form-data; boundary=b", body)
    assert written.values(b"key") == [b"1", b"2"]
    assert written.without({b"key"}) == b"before\r\n" + END


def test_what_looks_like_a_name_elsewhere_is_none():
    body = part(b"a", b'Content-Disposition: form-data; name="key"\r\n\r\nforged') + END
    assert form("multipart/form-data; boundary=b", body).values(b"key") == []
    head = b'; filename="x; name=\\"key"'
    assert form("multipart/form-data; boundary=b", part(b"a", b"1", head) + END).values(b"a")


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Type", b"application/json")],
        [(b"Content-Type", b"multipart/form-data")],
        [(b"Content-Type", b"multipart/form-data; boundary=" + b"x" * 71)],
        [(b"Content-Type", URLENCODED.encode()), (b"Content-Encoding", b"gzip")],
        [],
    ],
)
def test_what_is_no_form(fields):
    assert not Form.is_in(Headers(fields))


@given(st.binary(), st.sampled_from(["multipart/form-data; boundary=b", URLENCODED]))
def test_nothing_is_lost_of_what_is_nobody_s_name(body, content_type):
    assert form(content_type, body).without({b"\0no such name"}) == body


@given(st.lists(st.sampled_from([b"--b", b"--", b"\r\n", b"key", b"=", b"&", b'name="key"', b":"])))
def test_what_is_taken_out_is_gone(pieces):
    for content_type in ("multipart/form-data; boundary=b", URLENCODED):
        written = form(content_type, b"".join(pieces))
        assert form(content_type, written.without({b"key"})).values(b"key") == []
