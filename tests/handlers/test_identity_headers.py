"""Headers of the site's own: what backends are told, and what clients can't tell them."""

from pathlib import Path

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    RequestHead,
)
from realtime_proxy.pipeline.catalogue import load_class

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "identity_headers.py")


def make(**headers):
    config = structure({"headers": headers}, Handler.Config)
    return Handler(config, HandlerContext("identity_headers", None))


def told(handler, identity=None, *fields):
    """The headers of a request to the backend, of a client that has sent these fields."""
    exchange = Exchange(RequestHead(b"GET", b"/", Headers(fields)), "r", "http", "", identity)
    request = RequestHead(b"GET", b"/", Headers(fields))
    handler.on_backend_request(exchange, request)
    assert exchange.request.headers == list(fields)
    return request.headers


def test_the_backend_is_told():
    handler = make(**{"X-User": "{subject}", "X-Where": "{claims.agency}; {headers.x-tenant}"})
    alice = Identity("alice", claims={"agency": "north"}, subject="u-1")
    headers = told(handler, alice, (b"X-Tenant", b"t"), (b"x-user", b"root"))
    assert headers == [(b"X-Tenant", b"t"), (b"X-User", b"u-1"), (b"X-Where", b"north; t")]


@pytest.mark.parametrize("claims", [{}, {"agency": ""}, {"agency": "a\r\nX-Admin: 1"}])
def test_what_is_not_known_or_can_not_be_a_header_is_not_there(claims):
    handler = make(**{"X-Agency": "{claims.agency}", "X-User": "{consumer}"})
    headers = told(handler, Identity("alice", claims=claims), (b"x-agency", b"mine"))
    assert headers == [(b"X-User", b"alice")]
    assert told(handler, None, (b"x-agency", b"mine"), (b"X-User", b"root")) == []


def test_credentials_of_clients_are_replaced_where_it_acts():
    handler = make(**{"Authorization": "Id {consumer}", "X-User": "{consumer}"})
    assert handler.sets_headers == {"x-user"}
    fields = (b"authorization", b"Bearer theirs")
    assert (b"Authorization", b"Id alice") in told(handler, Identity("alice"), fields)
    assert told(handler, None, fields) == []


def test_links_have_nothing_of_the_client_and_are_told_all_the_same():
    handler = make(**{"X-Seen": "{headers.x-seen}+{consumer}"})
    seen = Headers([(b"X-Seen", b"by the gateway")])
    exchange = Exchange(RequestHead(b"GET", b"/", seen), "r", "http", "", Identity("alice"))
    for _ in range(2):
        request = RequestHead(b"GET", b"/", Headers())
        handler.on_backend_request(exchange, request)
        assert request.headers == [(b"X-Seen", b"by the gateway+alice")]


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({}, "headers: must have"),
        ({"X A": "a"}, "headers.*X A.* is not the name"),
        ({"Content-Length": "3"}, "proxy's own"),
        ({"Sec-WebSocket-Key": "a"}, "proxy's own"),
        ({"X-A": "a\r\nb"}, "control characters"),
        ({"X-A": "{nobody}", "X-B": "}"}, r"headers\.X-A: .*can't be filled in"),
    ],
)
def test_settings_that_can_not_be(headers, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**headers)
