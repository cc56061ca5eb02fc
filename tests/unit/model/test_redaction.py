import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.redaction import Redaction


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (b"/plain", "/plain"),
        (b"/?", "/?"),
        (b"/a?x=1&y", "/a?x=1&y"),
        (b"/a?token=abc&x=1", "/a?token=***&x=1"),
        (b"/a?x=1&Token=a=b&jwt", "/a?x=1&Token=***&jwt"),
        (b"/a?%74oken=abc", "/a?%74oken=***"),
        (b"/a?callback=cb&_headers=%7B%7D&_body=x", "/a?callback=cb&_headers=***&_body=***"),
        (b"http://a/b?jwt=x.y.z#odd", "http://a/b?jwt=***"),
        (b"/a b\xff\r\n?q=\x22", "/a%20b%FF%0D%0A?q=%22"),
    ],
)
def test_urls_show_no_tokens(url, shown):
    assert Redaction().url(url) == shown


def test_names_are_the_sites():
    redaction = Redaction(["PIN"], ["X-Pin"])
    assert redaction.url(b"/?pin=1&token=2") == "/?pin=***&token=2"
    assert redaction.fields(Headers([(b"x-PIN", b"1"), (b"Cookie", b"a=b")])) == {
        "x-pin": "***",
        "cookie": "a=b",
    }


def test_fields_show_no_secrets():
    headers = Headers(
        [(b"Accept", b"a"), (b"Authorization", b"Bearer x"), (b"accept", b"b"), (b"X-U", b"\xe9")]
    )
    assert Redaction().fields(headers) == {
        "accept": "a, b",
        "authorization": "***",
        "x-u": "é",
    }


def test_fields_that_are_urls_show_no_tokens():
    headers = Headers(
        [(b"Referer", b"http://a/b?token=x&y=1"), (b"Location", b"/c?code=x"), (b"X-U", b"/?key=1")]
    )
    assert Redaction().fields(headers) == {
        "referer": "http://a/b?token=***&y=1",
        "location": "/c?code=***",
        "x-u": "/?key=1",
    }


def test_names_that_become_known_later_count():
    also = set()
    redaction = Redaction((), (), also)
    also.add("pin")
    assert redaction.url(b"/?PIN=1") == "/?PIN=***"
    assert redaction.fields(Headers([(b"Pin", b"1")])) == {"pin": "***"}
