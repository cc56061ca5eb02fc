"""Held clients end at their route's age, spread; what is on its way for them is waited for."""

import pytest

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.serving.hold_ages import AGED, HoldAges


class Client:
    may_end = True

    def __init__(self):
        self.ends = []

    def dismiss(self, dismissal):
        self.ends.append(dismissal)

    def cut(self, reason):
        self.ends.append(reason)


@pytest.fixture
def ages(timers):
    return HoldAges(timers)


async def test_the_end_comes_within_the_last_tenth(ages, jump, mock_clock):
    clients = [Client() for _ in range(50)]
    for client in clients:
        ages.begin(client, 100)
    await jump(89.9)
    assert not any(client.ends for client in clients)
    await jump(5)
    assert 0 < sum(map(len, (client.ends for client in clients))) < 50
    await jump(5.2)
    assert [client.ends for client in clients] == [[AGED]] * 50


async def test_who_left_before_is_forgotten(ages, jump, mock_clock):
    client = Client()
    ages.begin(client, 10)
    assert len(ages) == 1
    assert 9 <= ages.end(client) <= 10
    assert len(ages) == 0
    await jump(20)
    assert client.ends == []


async def test_who_has_no_age_has_no_end(ages, mock_clock):
    assert ages.end(Client()) is None


async def test_the_time_goes_on_in_another_hold(ages, jump, mock_clock):
    first, second = Client(), Client()
    ages.begin(first, 10)
    await jump(8)
    ages.begin(second, 10, ages.end(first))
    await jump(2.1)
    assert (first.ends, second.ends) == ([], [AGED])


async def test_a_time_that_was_over_meanwhile_ends_at_once(ages, jump, timers, mock_clock):
    client = Client()
    await jump(10)
    ages.begin(client, 10, 5.0)
    assert client.ends == []  # it is only being made
    await jump(0.1)
    assert client.ends == [AGED]


async def test_what_is_on_its_way_is_waited_for(ages, jump, mock_clock):
    client = Client()
    client.may_end = False
    ages.begin(client, 10)
    await jump(11)
    assert client.ends == []
    client.may_end = True
    await jump(0.3)
    assert client.ends == [AGED]


async def test_but_not_for_ever(ages, jump, mock_clock):
    client = Client()
    client.may_end = False
    ages.begin(client, 10)
    await jump(15.5)
    assert client.ends == [CloseReason.MAX_AGE]


async def test_who_leaves_while_it_is_waited_for(ages, jump, mock_clock):
    client = Client()
    client.may_end = False
    ages.begin(client, 10)
    await jump(11)
    ages.end(client)
    await jump(10)
    assert client.ends == []
