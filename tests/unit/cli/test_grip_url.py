import jwt
import pytest

from realtime_proxy.cli.grip_url import GripUrl, parse_grip_url
from realtime_proxy.errors import PublishError

KEY = "k" * 32


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "target"),
    [
        ("http://localhost:5561", "localhost", 5561, "localhost:5561", "/publish/"),
        ("http://localhost:5561/", "localhost", 5561, "localhost:5561", "/publish/"),
        ("http://h:1/base", "h", 1, "h:1", "/base/publish/"),
        ("http://h:1/base//", "h", 1, "h:1", "/base/publish/"),
        ("http://h", "h", 80, "h", "/publish/"),
        ("https://h/a/b/", "h", 443, "h", "/a/b/publish/"),
        ("HTTPS://Example.com", "example.com", 443, "Example.com", "/publish/"),
        ("http://[::1]:5561", "::1", 5561, "[::1]:5561", "/publish/"),
        ("http://[fe80::1]/x", "fe80::1", 80, "[fe80::1]", "/x/publish/"),
        ("http://h/a%20b/ü c", "h", 80, "h", "/a%20b/%C3%BC%20c/publish/"),
        ("http://h/?iss=i&key=k&verify-iss=v&verify-key=w", "h", 80, "h", "/publish/"),
        ("http://h?service=a+b&key=k&empty=", "h", 80, "h", "/publish/?service=a%2Bb&empty="),
        ("http://h/#part", "h", 80, "h", "/publish/"),
    ],
)
def test_parts(text, host, port, authority, target):
    url = parse_grip_url(text)
    assert (url.host, url.port, url.authority, url.target) == (host, port, authority, target)


def test_scheme_and_credentials():
    assert parse_grip_url("https://h/x?iss=me&key=abc") == GripUrl(
        "https", "h", 443, "h", "/x/publish/", "me", b"abc"
    )


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("key=changeme", b"changeme"),
        ("key=a%20b%2Bc", b"a b+c"),
        ("key=a+b", b"a+b"),
        ("key=base64:%2B%2F8%3D", b"\xfb\xff"),
        ("key=base64:+/8=", b"\xfb\xff"),
        ("key=base64:-_8", b"\xfb\xff"),
        ("key=", b""),
        ("", b""),
    ],
)
def test_key(query, key):
    assert parse_grip_url(f"http://h?{query}").key == key


@pytest.mark.parametrize(
    "text",
    [
        "http:",
        "http://",
        "http:foo",
        "http:///path",
        "http://:80",
        "http://h:x",
        "http://h:70000",
        "http://[::1",
        "http://user:secret@h",
        "http://a b/",
        "http://hé/",
        "http://a\x7fb/",
    ],
)
def test_invalid(text):
    with pytest.raises(PublishError) as error:
        parse_grip_url(text)
    assert str(error.value) == "invalid URL"


@pytest.mark.parametrize("key", ["base64:a", "base64:!!!!"])
def test_invalid_key(key):
    with pytest.raises(PublishError, match="the key in the URL is not base64"):
        parse_grip_url(f"http://h?key={key}")


def test_token_is_a_jwt():
    token = parse_grip_url(f"http://h?iss=me&key={KEY}").bearer_token(1_000_000.7)
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256"}
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"iss": "me", "exp": 1_000_600}


def test_token_without_issuer_is_the_key():
    assert parse_grip_url("http://h?key=token").bearer_token(0) == "token"
    assert parse_grip_url("http://h?iss=me").bearer_token(0) is None
    assert parse_grip_url("http://h").bearer_token(0) is None


@pytest.mark.parametrize("key", ["base64:/w==", "a%0D%0Ab", "%C3%BC", "a%20b"])
def test_key_that_is_no_token(key):
    with pytest.raises(PublishError, match="no bearer token"):
        parse_grip_url(f"http://h?key={key}").bearer_token(0)
