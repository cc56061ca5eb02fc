"""Identity from headers of a gateway: what is taken, and from whom."""

from pathlib import Path

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    RequestHead,
)
from realtime_proxy.pipeline.catalogue import load_class

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "gateway_identity.py")


def make(**settings):
    context = HandlerContext("gateway_identity", None)
    return Handler(structure(settings, Handler.Config), context)


async def decide(handler, *fields):
    request = RequestHead(b"GET", b"/", Headers(fields))
    exchange = Exchange(request, "r", "http", "")
    return await handler.on_request(exchange), exchange.identity


async def test_kongs_headers():
    decision, identity = await decide(
        make(),
        (b"x-consumer-username", b"alice"),
        (b"X-Consumer-Groups", b"staff, night"),
        (b"X-Consumer-Groups", b",day"),
    )
    assert decision is CONTINUE
    assert identity == Identity("alice", groups=("staff", "night", "day"))


async def test_the_anonymous_consumer():
    fields = [(b"X-Consumer-Username", b"guest"), (b"X-Anonymous-Consumer", b"true")]
    assert (await decide(make(), *fields))[1] == Identity("guest", anonymous=True)


async def test_headers_of_others():
    handler = make(consumer_header="auth_id", groups_header="", anonymous_header="")
    assert handler.accepts_headers == {"auth_id"}
    fields = [(b"auth_id", b"7"), (b"X-Consumer-Groups", b"staff")]
    assert (await decide(handler, *fields))[1] == Identity("7")


@pytest.mark.parametrize("values", [[], [b""], [b"alice", b"root"]])
async def test_who_comes_without_is_refused(values):
    fields = [(b"X-Consumer-Username", value) for value in values]
    decision, identity = await decide(make(), *fields)
    assert identity is None
    assert decision.response.status == 401
    assert await decide(make(required=False), *fields) == (CONTINUE, None)


def test_what_it_reads_is_for_gateways_alone():
    handler = make()
    names = {"x-consumer-username", "x-consumer-groups", "x-anonymous-consumer"}
    assert handler.accepts_headers == names
    assert not handler.sets_headers


def test_nobody_can_be_named_by_nothing():
    with pytest.raises(ConfigError, match="consumer_header: is empty"):
        make(consumer_header="")
