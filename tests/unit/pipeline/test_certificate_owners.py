"""Whose certificates are: by what consumers list, by what they are called, and until when."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.model.consumer_record import ConsumerRecord
from realtime_proxy.pipeline import (
    Consumer,
    Consumers,
    HandlerContext,
    HandlerServices,
    StoredConsumers,
)
from realtime_proxy.pipeline.certificate_owners import CertificateOwners, certificate_names
from realtime_proxy.testing.client_certificates import client_certificate

PRINT = "0a" * 32
NAMES = (
    f"fingerprint:{PRINT}",
    "subject:CN=alice,O=Example",
    "DNS:a.test",
    "URI:spiffe://test/a",
    "email:alice@a.test",
    "CN:alice",
)


@pytest.fixture
def stored():
    return StoredConsumers()


@pytest.fixture
def owners(request, stored):
    """Makes those of one handler, which no other test uses."""
    services = HandlerServices(None, None, None, stored)
    context = HandlerContext(request.node.name, None, services=services)

    def make(*consumers, consumer_by=("username", "custom_id"), stored=False):
        return CertificateOwners(Consumers(consumers), context, consumer_by, stored=stored)

    return make


def listing(*certificates, name="alix"):
    return Consumer(name, certificates=certificates)


def test_all_names_of_a_certificate_the_surest_first():
    certificate = client_certificate("a.test", "alice@a.test", common_name="alice")
    fingerprint, subject, *others = certificate_names(certificate)
    assert fingerprint == f"fingerprint:{certificate.fingerprint}"
    assert subject == f"subject:{certificate.subject}"
    assert subject.startswith("subject:CN=alice,")
    assert others == ["DNS:a.test", "email:alice@a.test", "CN:alice"]
    assert not any(name.startswith("CN:") for name in certificate_names(client_certificate("a")))


@pytest.mark.parametrize(
    "name",
    [*NAMES, f"fingerprint:{':'.join(['0A'] * 32)}"],
)
def test_who_lists_a_certificate_has_it(owners, name):
    found = owners(Consumer("alice"), listing(name), listing("CN:bob", name="bob"))
    assert found.owner(NAMES).name == "alix"
    assert found.owner(("fingerprint:ff",)) is None


@pytest.mark.parametrize("name", ["alice", "a.test", "spiffe://test/a", "alice@a.test"])
def test_who_is_called_as_the_owner_has_it(owners, name):
    assert owners(Consumer(name)).owner(NAMES).username == name
    assert owners(Consumer("x", custom_id=name)).owner(NAMES).username == "x"
    assert owners(Consumer("x", custom_id=name), consumer_by=("username",)).owner(NAMES) is None
    assert owners(Consumer(name), consumer_by=()).owner(NAMES) is None


def test_nobody_is_called_by_what_only_certificates_have(owners):
    called = (Consumer(PRINT), Consumer("CN=alice,O=Example"), Consumer("DNS:a.test"))
    assert owners(*called, Consumer("", custom_id="c")).owner((*NAMES[:3], "DNS:")) is None


def test_those_of_the_store(owners, stored):
    stored.put(ConsumerRecord("id-1", 100, "alice", "c-1"))
    assert owners(stored=True).owner(NAMES).id == "id-1"
    assert owners().owner(NAMES) is None
    assert owners(stored=True).owner(("CN:c-1",)).id == "id-1"
    assert owners(stored=True).owner(("CN:id-1",)) is None
    assert owners(stored=True, consumer_by=("custom_id",)).owner(NAMES) is None
    assert owners(Consumer("alice", id="own"), stored=True).owner(NAMES).id == "own"


def test_the_store_may_not_be_at_hand(owners, stored):
    assert owners(stored=True).are_known
    stored.is_known = False
    assert not owners(stored=True).are_known
    assert owners().are_known


def test_who_was_let_in_is_held_to_what_counts_by_now(owners, stored):
    before = owners(Consumer("alice"))
    assert before.still_owns(NAMES, "alice")
    owners(Consumer("alice"), listing("DNS:a.test")).take_over()
    assert not before.still_owns(NAMES, "alice")
    assert before.still_owns(NAMES, "alix")
    owners(stored=True).take_over()
    assert not before.still_owns(NAMES, "alice")
    stored.put(ConsumerRecord("1", 100, "alice"))
    assert before.still_owns(NAMES, "alice")


@pytest.mark.parametrize(
    ("consumers", "problem"),
    [
        ((listing("alice"),), r"consumers: alix: certificates\[0\]: `alice` names none; accepted"),
        ((listing("CN:"),), "names none"),
        ((listing("dns:a.test"),), "names none"),
        ((listing("DNS:a", "fingerprint:0a"),), r"certificates\[1\]: a fingerprint is SHA-256"),
        ((listing("CN:a"), listing("CN:a", name="bob")), "is a certificate of alix, too"),
    ],
)
def test_names_that_can_not_be(owners, consumers, problem):
    with pytest.raises(ConfigError, match=problem):
        owners(*consumers)
