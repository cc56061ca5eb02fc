"""Held clients are closed when their credentials end; nothing is kept of the others."""

import pytest

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.serving.lifetimes import Lifetimes
from realtime_proxy.sessions.access_loss import EXPIRED, REVOKED
from realtime_proxy.sessions.expiry_notice import ExpiryNotice


class Client:
    is_held = True
    recheck_seconds = 0.0
    connection_id = ""

    def __init__(self, expires_at, notice=None):
        self.identity = Identity("alice", expires_at=expires_at)
        self.expiry_notice = notice
        self.told = []
        self.losses = []

    def tell_expiry(self, notice, expires_at, now):
        self.told.append(notice.text(expires_at, now))

    def lose_access(self, loss):
        self.losses.append(loss)


@pytest.fixture
def lifetimes(timers):
    return Lifetimes(timers, timers.now)  # whose epoch begins with the test's clock


async def test_without_an_end_nothing_is_kept(lifetimes, mock_clock):
    lifetimes.begin(Client(None))
    assert len(lifetimes) == 0


async def test_the_end_comes_in_its_time_and_its_reason_stays(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() + 10)
    lifetimes.begin(client)
    await jump(9.9)
    assert client.losses == []
    await jump(0.2)
    assert client.losses == [EXPIRED]
    assert lifetimes.end(client, CloseReason.CLIENT_GONE) is CloseReason.EXPIRED
    assert len(lifetimes) == 0


async def test_who_left_before_is_left_alone(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() + 10)
    lifetimes.begin(client)
    assert lifetimes.end(client, CloseReason.CLIENT_GONE) is CloseReason.CLIENT_GONE
    await jump(20)
    assert client.losses == []


async def test_a_credential_that_has_ended_already(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() - 10)
    lifetimes.begin(client)
    assert client.losses == []  # it is only being made
    await jump(0.1)
    assert client.losses == [EXPIRED]


async def test_the_notice_comes_once_before_the_end(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() + 10, ExpiryNotice(3, "{seconds} left"))
    lifetimes.begin(client)
    await jump(6.9)
    assert client.told == []
    await jump(0.2)
    assert client.told == ["3 left"]
    await jump(2.5)
    assert client.told == ["3 left"]
    await jump(1)
    assert client.losses == [EXPIRED]


async def test_a_renewal_begins_anew(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() + 10, ExpiryNotice(3, "{seconds} left"))
    lifetimes.begin(client)
    await jump(8)
    client.identity = Identity("alice", expires_at=timers.now() + 10)
    lifetimes.begin(client)
    await jump(5)
    assert (client.told, client.losses) == (["2 left"], [])
    await jump(3)
    assert len(client.told) == 2
    await jump(3)
    assert client.losses == [EXPIRED]


async def test_who_is_found_the_same_again_is_not_told_again(lifetimes, jump, timers, mock_clock):
    client = Client(timers.now() + 10, ExpiryNotice(3, "{seconds} left"))
    lifetimes.begin(client)
    await jump(8)
    assert client.told == ["2 left"]
    lifetimes.begin(client)
    await jump(1)
    assert client.told == ["2 left"]
    await jump(1.1)
    assert client.losses == [EXPIRED]


async def test_a_clock_that_was_set_back_is_looked_at_again(timers, jump, mock_clock):
    offset = 0.0
    lifetimes = Lifetimes(timers, lambda: timers.now() + offset)
    client = Client(timers.now() + 10)
    lifetimes.begin(client)
    offset = -5.0
    await jump(11)
    assert client.losses == []
    await jump(5)
    assert client.losses == [EXPIRED]


async def test_who_loses_access_before_it_is_accepted_is_told_then(lifetimes, mock_clock):
    client = Client(None)
    lifetimes.lose(client, REVOKED)
    assert client.losses == [REVOKED]  # which may have been too early
    lifetimes.begin(client)
    assert client.losses == [REVOKED, REVOKED]
    assert lifetimes.end(client, CloseReason.FINISHED) is CloseReason.REVOKED


async def test_a_client_that_is_gone_leaves_nothing(lifetimes, mock_clock):
    client = Client(None)
    client.is_held = False
    lifetimes.lose(client, REVOKED)
    assert (client.losses, len(lifetimes)) == ([], 0)


async def test_a_credential_that_has_lapsed_meanwhile(lifetimes, jump, mock_clock):
    client = Client(None)
    client.identity = Identity("alice", holds=lambda: False)
    lifetimes.begin(client)
    assert client.losses == []
    await jump(0.1)
    assert client.losses == [REVOKED]


async def test_clients_are_asked_again_and_found_by_name(timers, jump, mock_clock):
    asked, named = [], {}
    lifetimes = Lifetimes(timers, timers.now, asked.append, named)
    client = Client(None)
    client.recheck_seconds, client.connection_id = 10, "id"
    lifetimes.begin(client)
    assert named == {"id": client}
    await jump(10.1)
    assert asked == [client]
    await jump(20)  # nothing more until somebody has told
    assert len(asked) == 1
    assert lifetimes.undecided(client) == 1
    await jump(10.1)
    assert len(asked) == 2
    assert lifetimes.undecided(client) == 2
    lifetimes.begin(client)
    assert lifetimes.undecided(client) == 1
    lifetimes.end(client, CloseReason.FINISHED)
    await jump(20)
    assert (len(asked), named, lifetimes.undecided(client)) == (2, {}, 0)
