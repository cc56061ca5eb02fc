"""Credentials of consumers: which counts for a token, and until when."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.model.consumer_record import ConsumerRecord, JwtRecord
from realtime_proxy.pipeline import (
    Consumer,
    HandlerContext,
    HandlerServices,
    JwtCredential,
    JwtCredentials,
    Secret,
    StoredConsumers,
    TokenRefused,
)
from realtime_proxy.testing.tokens import public_pem

ADO = Consumer("Ado", jwt=(JwtCredential("adokey", Secret(b"supersecret")),))
EVE = Consumer("Eve", jwt=(JwtCredential("evekey", None, Secret(public_pem()), "RS256"),))


@pytest.fixture
def stored():
    return StoredConsumers()


@pytest.fixture
def context(stored, request):
    return HandlerContext(
        request.node.name, None, services=HandlerServices(None, None, None, stored)
    )


def record(secret="stored secret", **fields):
    jwt = JwtRecord(id="1", key="storedkey", created_at=0, secret=secret, **fields)
    return ConsumerRecord(id="9", username="Sue", created_at=0, jwt=(jwt,))


def test_those_of_the_settings(context):
    credentials = JwtCredentials((ADO, EVE), context)
    consumer, credential, key = credentials.called("adokey")
    assert (consumer, credential) == (ADO, ADO.jwt[0])
    assert key.algorithms == {"HS256"}
    assert credentials.called("evekey")[2].algorithms == {"RS256"}
    assert credentials.called("other") is None


def test_those_of_the_store_if_they_count(context, stored):
    stored.put(record())
    assert JwtCredentials((), context).called("storedkey") is None
    consumer, credential, _ = JwtCredentials((), context, stored=True).called("storedkey")
    assert (consumer.username, credential.key) == ("Sue", "storedkey")


def test_whether_the_store_is_known(context, stored):
    stored.is_known = False
    assert JwtCredentials((), context).are_known
    assert not JwtCredentials((), context, stored=True).are_known
    stored.is_known = True
    assert JwtCredentials((), context, stored=True).are_known


def test_one_of_the_store_that_can_not_be_used_refuses(context, stored):
    stored.put(record(secret="no base64!"))
    credentials = JwtCredentials((), context, is_base64=True, stored=True)
    with pytest.raises(TokenRefused, match="Invalid key/secret"):
        credentials.called("storedkey")


def test_who_was_let_in_is_held_to_what_counts_by_now(context, stored):
    before = JwtCredentials((ADO, EVE), context)
    ado, eve = ADO.jwt[0], EVE.jwt[0]
    assert before.still_have(ado)
    JwtCredentials((EVE,), context).take_over()
    assert not before.still_have(ado)
    assert before.still_have(eve)
    stored.put(record())
    of_store = JwtCredentials((), context, stored=True).called("storedkey")[1]
    assert before.still_have(of_store)
    stored.put(record(secret="another"))
    assert not before.still_have(of_store)


def test_those_of_the_store_may_become_anothers(context, stored):
    credentials = JwtCredentials((ADO,), context, stored=True)
    assert credentials.is_current_of(ADO, ADO.jwt[0]) is None
    stored.put(record())
    is_current = credentials.is_current_of(*credentials.called("storedkey")[:2])
    assert is_current()
    stored.put(record())
    assert not is_current()
    stored.remove("9")
    assert not is_current()


@pytest.mark.parametrize(
    ("credential", "problem"),
    [
        (JwtCredential("a"), "HS256 needs a secret"),
        (JwtCredential("a", Secret(public_pem())), "is a PEM text"),
        (JwtCredential("a", algorithm="RS256"), "RS256 needs a public_key"),
        (JwtCredential("a", None, Secret(public_pem("P-256")), "RS256"), "fits none"),
    ],
)
def test_problems_are_told_with_their_places(context, credential, problem):
    with pytest.raises(ConfigError, match=rf"consumers: bob: jwt\[0\]: {problem}"):
        JwtCredentials((Consumer("bob", jwt=(credential,)),), context)


def test_secrets_may_be_base64(context):
    bob = Consumer("bob", jwt=(JwtCredential("a", Secret(b"c2VjcmV0")),))
    assert JwtCredentials((bob,), context, is_base64=True).called("a")
    bad = Consumer("bob", jwt=(JwtCredential("a", Secret(b"?")),))
    with pytest.raises(ConfigError, match="is no base64"):
        JwtCredentials((bad,), context, is_base64=True)
