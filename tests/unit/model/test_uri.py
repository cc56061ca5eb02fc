"""URIs: what is one, how it stands in a request, and what references beside it mean."""

import pytest

from realtime_proxy.model.uri import Uri

BASE = Uri("http", "a.test", 8080, "/b/c/d?q")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("http://A.test", Uri("http", "a.test", 80, "/")),
        ("https://a.test/x?y#z", Uri("https", "a.test", 443, "/x?y")),
        ("http://a.test:81?q", Uri("http", "a.test", 81, "/?q")),
        ("http://[::1]:8080/x", Uri("http", "::1", 8080, "/x")),
        ("http://a.test/b/../../c/./d?e/../f", Uri("http", "a.test", 80, "/c/d?e/../f")),
        ("http://a.test/../b/..", Uri("http", "a.test", 80, "/")),
        ("http://a.test/b/c/.", Uri("http", "a.test", 80, "/b/c/")),
        ("http://a.test//b", Uri("http", "a.test", 80, "//b")),
        (" http://a.test/ä b%20c ", Uri("http", "a.test", 80, "/%C3%A4%20b%20c")),
    ],
)
def test_texts_that_are_uris(text, uri):
    assert Uri.parse(text) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/path",
        "a.test",
        "ftp://a.test/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://user:secret@a.test/",
        "http://a.test:0/",
        "http://a.test:65536/",
        "http://a.test:x/",
        "http://[::1/",
        "http://[a]/",
        "http://a b/",
        "http://bücher/",
        "http://a.test/\r\nX: 1",
        "http://a.test/\x00",
        "http://a.te\tst/",
    ],
)
def test_texts_that_are_none(text):
    with pytest.raises(ValueError):  # noqa: PT011  the text is not always ours
        Uri.parse(text)


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("e", "/b/c/e"),
        ("../e?f", "/b/e?f"),
        ("/e", "/e"),
        ("?f", "/b/c/d?f"),
        ("", "/b/c/d?q"),
        ("../../../../e", "/e"),
        ("e f/%41", "/b/c/e%20f/%41"),
    ],
)
def test_relative_references(reference, target):
    assert BASE.resolve(reference) == Uri("http", "a.test", 8080, target)


def test_references_to_elsewhere():
    assert BASE.resolve("//b.test/x") == Uri("http", "b.test", 80, "/x")
    assert BASE.resolve("https://b.test/x") == Uri("https", "b.test", 443, "/x")


@pytest.mark.parametrize("reference", ["e\r\nX: 1", "ftp://b.test/", "http://b.test:0/", "//@b/"])
def test_references_that_lead_nowhere(reference):
    with pytest.raises(ValueError):  # noqa: PT011
        BASE.resolve(reference)


def test_origins():
    assert BASE.origin == BASE.resolve("/other").origin
    for other in ("https://a.test:8080/", "http://b.test:8080/", "http://a.test/"):
        assert BASE.origin != Uri.parse(other).origin


@pytest.mark.parametrize(
    "text", ["http://a.test/", "https://a.test:80/x?y", "http://[::1]/", "http://[::1]:81/"]
)
def test_a_uri_is_written_as_it_was(text):
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize(
    ("scheme", "host", "target", "text"),
    [
        ("http", b"A.test:81", b"/x?y", "http://a.test:81/x?y"),
        ("wss", b"a.test", b"/x", "https://a.test/x"),
        ("ws", b"localhost", b"/", "http://localhost/"),
        ("http", b"a.test", b"http://b.test/x?y", "http://a.test/x?y"),
        ("http", b"", b"/", "http://localhost/"),
        ("http", b"a.test", b"*", "http://a.test/"),
        ("http", b"a.test", b"http://b.test?y", "http://a.test/?y"),
        ("http", b"a.test", b"//b.test/x", "http://a.test//b.test/x"),
        ("http", b"a.test", b"/\xe4", "http://a.test/%E4"),
    ],
)
def test_what_a_request_asks_for(scheme, host, target, text):
    assert str(Uri.of_request(scheme, host, target)) == text


@pytest.mark.parametrize("host", [b":80", b"a:99999", b"[::"])
def test_a_request_to_no_host_at_all(host):
    with pytest.raises(ValueError):  # noqa: PT011
        Uri.of_request("http", host, b"/")


def test_logs_get_no_query():
    assert Uri.parse("http://a:81/b?key=secret").without_query() == "http://a:81/b"
