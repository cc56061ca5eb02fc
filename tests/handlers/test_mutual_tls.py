"""Client certificates: whose they are, who may pass, and what nobody is believed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.model.consumer_record import ConsumerRecord
from realtime_proxy.pipeline import (
    CONTINUE,
    ClientCertificate,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    Identity,
    Refuse,
    RequestHead,
    StoredConsumers,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.testing.client_certificates import client_certificate

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "mutual_tls.py")

ALICE = client_certificate("alice@a.test", common_name="alice")
BOB = client_certificate("bob.test")
CONSUMERS = [
    {"username": "alice", "custom_id": "c-1", "id": "11", "groups": ["staff"]},
    {"username": "bobby", "certificates": ["DNS:bob.test"]},
    {"username": "guest"},
]
UNREADABLE = ClientCertificate(b"odd")


class Connections:
    """Who is held by a worker."""

    def __init__(self):
        self.held = []

    def revoke(self, loses):
        self.held = [identity for identity in self.held if not loses(identity)]


@pytest.fixture
def make(request):
    """Makes handlers of one name, which no other test uses."""

    def make_one(book=None, connections=None, **settings):
        settings = {"consumers": CONSUMERS, **settings}
        with files_relative_to(CHECKOUT):
            config = structure(settings, Handler.Config)
        services = HandlerServices(None, connections, None, book or StoredConsumers())
        return Handler(config, HandlerContext(request.node.name, None, services=services))

    return make_one


def new_exchange(certificate=None, *fields, method=b"GET", identity=None):
    request = RequestHead(method, b"/", Headers([(b"Host", b"a"), *fields]))
    return Exchange(request, "r", "https", "", identity, client_certificate=certificate)


async def passes(handler, exchange):
    assert await handler.on_request(exchange) is CONTINUE
    return exchange.identity


async def refused(handler, exchange):
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    return decision.response.status, json.loads(decision.response.body)["message"]


async def test_a_consumers_certificate(make):
    exchange = new_exchange(ALICE)
    identity = await passes(make(), exchange)
    assert (identity.consumer, identity.groups) == ("alice", ("staff",))
    assert identity.expires_at == ALICE.expires_at
    assert identity.subject == ALICE.subject
    assert identity.claims == {
        "subject": ALICE.subject,
        "common_name": "alice",
        "alternative_names": ["email:alice@a.test"],
        "issuer": ALICE.issuer,
        "serial_number": ALICE.serial_number,
        "fingerprint": ALICE.fingerprint,
    }
    assert exchange.request.headers[1:] == [
        (b"X-Consumer-ID", b"11"),
        (b"X-Consumer-Custom-ID", b"c-1"),
        (b"X-Consumer-Username", b"alice"),
        (b"X-Credential-Identifier", ALICE.fingerprint.encode()),
    ]
    assert (await passes(make(), new_exchange(BOB))).consumer == "bobby"


async def test_who_has_none_and_whose_is_not_known(make):
    handler = make()
    assert await refused(handler, new_exchange()) == (401, "No required TLS certificate was sent")
    stranger = new_exchange(client_certificate("c.test", common_name="carol"))
    assert await refused(handler, stranger) == (403, "TLS certificate of no known consumer")
    odd = new_exchange(UNREADABLE)
    assert await refused(handler, odd) == (403, "TLS certificate can't be read")


async def test_headers_are_believed_of_nobody(make):
    fields = [
        (name, b"CN=alice")
        for name in (
            b"X-SSL-Client-S-DN",
            b"X-SSL-CERT",
            b"X-Forwarded-Client-Cert",
            b"X-Forwarded-Tls-Client-Cert",
            b"Client-Cert",
            b"X-Client-Cert-DN",
        )
    ]
    assert (await refused(make(), new_exchange(None, *fields)))[0] == 401


async def test_one_that_has_ended_since_its_handshake(make, monkeypatch):
    end = datetime(2040, 1, 1, tzinfo=UTC)
    exchange = new_exchange(client_certificate("alice", not_after=end))
    handler = make()
    assert (await passes(handler, exchange)).expires_at == end.timestamp()
    monkeypatch.setattr("time.time", end.timestamp)
    exchange.identity = None
    assert await refused(handler, exchange) == (401, "TLS certificate has expired")


async def test_an_anonymous_consumer_stands_for_all_others(make):
    handler = make(anonymous="guest")
    for certificate in (None, UNREADABLE, client_certificate("c.test")):
        exchange = new_exchange(certificate)
        identity = await passes(handler, exchange)
        assert (identity.consumer, identity.anonymous) == ("guest", True)
        assert exchange.request.headers.get(b"x-anonymous-consumer") == b"true"
    assert (await passes(handler, new_exchange(ALICE))).consumer == "alice"
    known = Identity("by-key")
    assert await passes(handler, new_exchange(ALICE, identity=known)) is known


async def test_preflights_may_pass(make):
    preflight = [(b"Access-Control-Request-Method", b"GET")]
    exchange = new_exchange(None, *preflight, method=b"OPTIONS")
    assert await passes(make(run_on_preflight=False), exchange) is None
    assert (await refused(make(), exchange))[0] == 401


# -- consumers -----------------------------------------------------------------------------


async def test_consumers_of_the_store(make):
    stored = StoredConsumers()
    handler = make(stored, consumers=[], stored=True)
    assert (await refused(handler, new_exchange(ALICE)))[0] == 403
    stored.is_known = False
    assert (await refused(handler, new_exchange(ALICE)))[0] == 503
    stored.put(ConsumerRecord("1", 100, "alice@a.test"))
    identity = await passes(handler, new_exchange(ALICE))
    assert identity.consumer == "alice@a.test"
    assert not identity.has_lapsed
    stored.remove("1")
    assert identity.has_lapsed


async def test_everyone_may_pass_whose_certificate_is_good(make):
    handler = make(consumers=[], consumer_lookup=False)
    exchange = new_exchange(client_certificate("c.test", common_name="carol"))
    identity = await passes(handler, exchange)
    assert (identity.consumer, identity.has_lapsed) == ("carol", False)
    assert exchange.request.headers.get(b"x-consumer-username") == b"carol"
    nameless = client_certificate("d.test")
    assert (await passes(handler, new_exchange(nameless))).consumer == nameless.subject
    odd = client_certificate("d.test", common_name="a\r\nX-Admin: 1")
    assert (await refused(handler, new_exchange(odd)))[0] == 403
    assert (await refused(handler, new_exchange()))[0] == 401


async def test_who_is_held_has_to_go_with_its_consumer(make):
    connections = Connections()
    before = make(connections=connections)
    await before.run()
    connections.held = [
        await passes(before, new_exchange(ALICE)),
        await passes(before, new_exchange(BOB)),
    ]
    await make(connections=connections, consumers=CONSUMERS[:1]).run()
    assert [identity.consumer for identity in connections.held] == ["alice"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"consumers": []}, "consumers: nobody could pass"),
        ({"anonymous": "who"}, "anonymous: no consumer has"),
        ({"consumer_by": ["id"]}, "consumer_by"),
        (
            {"consumers": [{"username": "a", "certificates": ["b"]}]},
            r"consumers: a: certificates\[0\]: `b` names none",
        ),
    ],
)
def test_settings_that_can_not_be(make, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**settings)
