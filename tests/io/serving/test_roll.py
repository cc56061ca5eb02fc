from types import SimpleNamespace

import pytest

from realtime_proxy.serving.roll import FIRST_SESSION, Roll


def asking(uri, client=b"192.0.2.1"):
    """An exchange of a client."""
    return SimpleNamespace(came_for=lambda: (uri, client))


@pytest.fixture
def roll():
    roll = Roll(wall_clock=lambda: 1_700_000_000.5)
    roll.connected(7)
    return roll


def test_a_request_is_there_from_its_beginning_to_its_end(roll):
    assert roll.arrival(7) is None
    exchange = asking(b"http://a/b c")
    roll.began(7, exchange)
    roll.sent(7, 2)
    arrival = roll.arrival(7)
    assert (arrival.opened_at, arrival.uri) == (1_700_000_000.5, b"http://a/b c")
    assert (arrival.client_address, arrival.messages_sent) == ("192.0.2.1", 2)
    assert roll.running(7) is exchange
    roll.over(7)
    assert (roll.arrival(7), roll.running(7)) == (None, None)


@pytest.mark.parametrize("client", [b"192.0.2.1", b""])
def test_of_a_hold_its_exchange_is_not_kept(roll, client):
    exchange = asking(b"http://a/b", client)
    roll.began(7, exchange)
    roll.held(7, exchange)
    assert roll.running(7) is None
    arrival = roll.arrival(7)
    assert (arrival.uri, arrival.client_address) == (b"http://a/b", client.decode())


def test_a_hold_that_ended_at_once_stays_over(roll):
    exchange = asking(b"http://a/b")
    roll.began(7, exchange)
    roll.over(7)
    roll.held(7, exchange)
    assert roll.arrival(7) is None


def test_holds_of_the_same_uri_share_its_text(roll):
    roll.connected(8)
    for number in (7, 8):
        exchange = asking(b"http://a/" + b"shared" * 5)
        roll.began(number, exchange)
        roll.held(number, exchange)
    assert roll._came[7] is roll._came[8]


def test_of_a_long_uri_a_part_is_kept(roll):
    exchange = asking(b"http://a/" + b"x" * 8_000)
    roll.began(7, exchange)
    roll.held(7, exchange)
    assert len(roll.arrival(7).uri) == 300
    assert roll.arrival(7).client_address == "192.0.2.1"


def test_a_descriptor_that_is_used_again_begins_anew(roll):
    exchange = asking(b"http://a/b")
    roll.began(7, exchange)
    roll.sent(7, 2)
    roll.connected(7)
    assert roll.arrival(7) is None
    roll.began(7, exchange)
    assert roll.arrival(7).messages_sent == 0


def test_nothing_is_noted_of_closed_connections(roll):
    roll.connected(1_023)
    exchange = asking(b"http://a/b")
    last = len(roll._came) - 1
    roll.connected(last)
    roll.began(last, exchange)
    roll.sent(-1, 5)
    roll.over(-1)
    roll.held(-1, exchange)
    assert roll.arrival(last).messages_sent == 0
    assert roll.running(last) is exchange


def test_there_is_room_for_any_descriptor(roll):
    roll.connected(100_000)
    assert roll.arrival(100_000) is None


def test_a_session_is_there_from_its_beginning_to_its_end(roll):
    number = FIRST_SESSION + 5
    roll.session_began(number, asking(b"http://a/" + b"x" * 1_000))
    roll.sent(number, 2)
    roll.sent(number, 1)
    arrival = roll.arrival(number)
    assert (arrival.opened_at, arrival.uri[:10]) == (1_700_000_000.5, b"http://a/x")
    assert len(arrival.uri) == 300
    assert (arrival.client_address, arrival.messages_sent) == ("192.0.2.1", 3)
    roll.session_over(number)
    roll.session_over(number)
    roll.sent(number, 1)
    assert roll.arrival(number) is None
