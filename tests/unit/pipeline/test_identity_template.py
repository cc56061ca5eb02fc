"""Templates over what is known of a client: what they say, and what they don't take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import Exchange, Headers, Identity, RequestHead
from realtime_proxy.pipeline.identity_template import IdentityTemplate

CLAIMS = {
    "agency": "north",
    "level": 3,
    "zero": 0,
    "admin": False,
    "none": None,
    "empty": "",
    "roles": ["a", "b"],
    "org": {"id": "o-1"},
    "https://a.test/role": "editor",
    "lines": "a\nb",
}
ALICE = Identity(
    "alice",
    claims=CLAIMS,
    groups=("staff", "a,b", "night"),
    subject="u-1",
    credential="alice/1",
    expires_at=1700000000.7,
)


def exchange(identity=ALICE, *fields):
    head = RequestHead(b"GET", b"/feed/7?a=b", Headers([(b"X-Tenant", b"t-1"), *fields]))
    return Exchange(head, "feed", "https", "192.0.2.1", identity)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("constant", "constant"),
        ("{consumer}", "alice"),
        ("{subject}", "u-1"),
        ("{credential}", "alice/1"),
        ("{groups}", "staff, night"),
        ("{expires_at}", "1700000000"),
        ("{claims.agency}/{claims.org.id}", "north/o-1"),
        ("{claims.https://a.test/role}", "editor"),
        ("{claims.level}{claims.zero}{claims.admin}", "30false"),
        ("{claims.roles}", '["a","b"]'),
        ("{claims.org}", '{"id":"o-1"}'),
        ("{headers.X-Tenant}", "t-1"),
        ("{method} {path}", "GET /feed/7"),
        ("{route} {scheme} {client_address}", "feed https 192.0.2.1"),
        ("{{{consumer}}} }}{{", "{alice} }{"),
        ("user {claims.missing}", None),
        ("{claims.none}", None),
        ("{claims.empty}", None),
        ("{claims.agency.more}", None),
        ("{headers.x-other}", None),
        ("", None),
    ],
)
def test_what_it_says(template, text):
    assert IdentityTemplate.parse(template).text(exchange()) == text


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{claims.roles}", ["a", "b"]),
        ("{claims.org}", {"id": "o-1"}),
        ("{claims.level}", 3),
        ("{claims.zero}", 0),
        ("{claims.admin}", False),
        ("{groups}", ["staff", "a,b", "night"]),
        ("{expires_at}", 1700000000),
        ("{consumer}", "alice"),
        ("{claims.level}!", "3!"),
        ("3", "3"),
        ("{claims.none}", None),
        ("{claims.empty}", None),
        ("{claims.missing}", None),
    ],
)
def test_a_single_place_keeps_its_type(template, value):
    found = IdentityTemplate.parse(template).value(exchange())
    assert found == value
    assert type(found) is type(value)


def test_who_is_unknown_has_nothing_but_a_request():
    unknown = exchange(None)
    for name in ("consumer", "subject", "groups", "expires_at", "claims.a"):
        assert IdentityTemplate.parse(f"a{{{name}}}").text(unknown) is None
    assert IdentityTemplate.parse("{headers.x-tenant}").text(unknown) == "t-1"


def test_who_has_no_subject_is_the_consumer():
    assert IdentityTemplate.parse("{subject}").text(exchange(Identity("bob"))) == "bob"
    assert IdentityTemplate.parse("{groups}").value(exchange(Identity("bob"))) is None


def test_fields_of_the_request_are_text_or_nothing():
    template = IdentityTemplate.parse("{headers.x-a}")
    assert template.text(exchange(None, (b"x-a", b"a"), (b"X-A", b"b"))) == "a, b"
    assert template.text(exchange(None, (b"x-a", "ü".encode()))) == "ü"
    assert template.text(exchange(None, (b"x-a", b"\xff"))) is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{user}", r"`\{user\}` can't be filled in; accepted: `\{consumer\}`"),
        ("{}", "can't be filled in"),
        ("{ consumer }", "can't be filled in"),
        ("{claims}", "can't be filled in"),
        ("{claims.}", "can't be filled in"),
        ("{headers.}", "can't be filled in"),
        ("{consumer", "written twice"),
        ("consumer}", "written twice"),
        ("{{consumer}", "written twice"),
        ("{{ print .Subject }}}", "written twice"),
    ],
)
def test_what_it_does_not_take(template, problem):
    with pytest.raises(ConfigError, match=problem):
        IdentityTemplate.parse(template)


@given(st.text())
def test_any_text_stands_for_itself_with_its_braces_doubled(text):
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert (IdentityTemplate.parse(doubled).text(exchange()) or "") == text
