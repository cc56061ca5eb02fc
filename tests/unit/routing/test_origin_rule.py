"""Which pages may open WebSockets."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.origin_rule import OriginRule

RULE = OriginRule.of(
    ["https://App.example.com", "http://localhost:3000", "https://*.example.org", "https://a.b:443"]
)


def allows(*origins, rule=RULE):
    return rule.allows(Headers((b"Origin", origin) for origin in origins))


def test_without_origins_there_is_no_rule():
    assert OriginRule.of([]) is None


@pytest.mark.parametrize(
    "origin",
    [
        b"https://app.example.com",
        b"HTTPS://APP.EXAMPLE.COM",
        b"https://app.example.com:443",
        b"http://localhost:3000",
        b"https://a.b",
        b"https://x.example.org",
        b"https://x.y.example.org:443",
    ],
)
def test_origins_that_are_allowed(origin):
    assert allows(origin)


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"null",
        b"http://app.example.com",
        b"https://app.example.com:8443",
        b"https://app.example.com.evil.net",
        b"https://evil.net/https://app.example.com",
        b"http://localhost",
        b"https://example.org",  # not below itself
        b"https://.example.org",
        b"https://evilexample.org",
        b"http://x.example.org",
        b"https://x.example.org:8443",
        b"https://x.example.org.evil.net",
    ],
)
def test_origins_that_are_not(origin):
    assert not allows(origin)


def test_who_is_no_page_has_no_origin():
    assert allows()


def test_two_origins_are_none():
    assert not allows(b"https://app.example.com", b"https://app.example.com")


def test_pages_without_an_origin_of_their_own():
    assert allows(b"null", rule=OriginRule.of(["null"]))
