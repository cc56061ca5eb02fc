"""The consumers of the store: found by what requests show, as they are at the time."""

import pytest
from msgspec.structs import replace

from realtime_proxy.model.consumer_record import (
    ConsumerRecord,
    GroupRecord,
    JwtRecord,
    KeyRecord,
)
from realtime_proxy.pipeline.consumers import digest_of
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

KEYS = (KeyRecord("k-1", "one", 100), KeyRecord("k-2", "two", 100, 60))
JWT = (JwtRecord("j-1", "iss", 100, secret="s"),)
ALICE = ConsumerRecord(
    "1", 100, "alice", "c-1", keys=KEYS, jwt=JWT, groups=(GroupRecord("g", "staff", 1),)
)
BOB = ConsumerRecord("2", 100, "bob")


@pytest.fixture
def stored():
    book = StoredConsumers()
    book.lapses = 0

    def lapsed():
        book.lapses += 1

    book.on_lapsed = lapsed
    book.put(ALICE)
    book.put(BOB)
    return book


def test_they_are_found_by_what_they_show(stored):
    key = stored.of_key(digest_of(b"two"))
    assert (key.consumer.name, key.consumer.groups, key.id) == ("alice", ("staff",), "k-2")
    assert key.ends_at == 160
    assert stored.of_key(digest_of(b"one")).ends_at is None
    consumer, credential = stored.of_issuer("iss")
    assert (consumer.id, credential.secret.value, credential.algorithm) == ("1", b"s", "HS256")
    assert [stored.called(name) for name in ("1", "alice", "c-1", "x")] == [
        ALICE,
        ALICE,
        ALICE,
        None,
    ]


def test_what_is_gone_is_found_no_more(stored):
    stored.put(replace(ALICE, username="alix", keys=KEYS[:1]))
    assert stored.lapses == 1
    assert stored.of_key(digest_of(b"two")) is None
    assert stored.of_key(digest_of(b"one")).consumer.name == "alix"
    assert stored.called("alice") is None
    stored.remove("1")
    assert stored.lapses == 2
    assert stored.of_key(digest_of(b"one")) is stored.of_issuer("iss") is None
    assert stored.called("c-1") is None


def test_who_was_let_in_by_a_name_goes_with_it(stored):
    stored.put(replace(BOB, username="rob"))
    assert stored.lapses == 1
    assert stored.consumer("bob") is None
    assert stored.consumer("rob").id == "2"
    assert stored.consumer("alice").groups == ("staff",)


def test_what_is_added_lets_nothing_lapse(stored):
    stored.put(replace(BOB, keys=(KeyRecord("k-3", "three", 100),)))
    stored.remove("unknown")
    assert stored.lapses == 0


def test_a_copy_loses_what_its_original_has_not(stored):
    stored.keep({"2"})
    assert list(stored.records) == ["2"]


def test_a_name_changes_hands_in_whatever_order_this_is_heard(stored):
    heir = replace(BOB, username="alice")
    stored.put(heir)
    stored.put(replace(ALICE, username="alix"))
    assert stored.called("alice") == heir
    stored.remove("2")
    assert stored.called("alice") is None


def test_the_same_name_and_own_id(stored):
    stored.put(replace(BOB, custom_id="bob"))
    stored.remove("2")
    assert stored.called("bob") is None
