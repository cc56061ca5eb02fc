"""The limits of a worker, as configured and configured anew."""

import socket

import attrs
import pytest

from realtime_proxy.app.bounds import Bounds
from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Forwarded, Server
from realtime_proxy.metrics.counters import Counters


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def unsent_bytes(listener):
    return listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


def test_listeners_have_options_and_get_those_that_are_new(listener):
    bounds = Bounds(Config(), Counters())
    bounds.govern(listener)
    assert unsent_bytes(listener) == Server().max_unsent_bytes
    bounds.adopt(Config(server=Server(max_unsent_bytes=5_000)), ())
    assert unsent_bytes(listener) == 5_000


def test_the_kernel_gives_nobody_up_before_we_do(listener):
    bounds = Bounds(Config(server=Server(max_backlog_seconds=7.0)), Counters())
    bounds.govern(listener)
    patience = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert patience == 12_000
    assert bounds.backlogs.max_seconds == bounds.unsent.max_seconds == 7.0


def test_backends_are_sent_what_one_read_may_come_to():
    bounds = Bounds(Config(server=Server(max_message_bytes=10, max_backlog_bytes=5)), Counters())
    assert (bounds.backlogs.max_bytes, bounds.unsent.max_bytes) == (5, 15)


def test_proxies_that_are_trusted_are_not_limited():
    config = Config(server=Server(max_connections_per_address=1))
    bounds = Bounds(config, Counters())
    assert [bounds.addresses.enter("10.0.0.1") for _ in range(2)] == [True, False]
    trusting = attrs.evolve(config, forwarded=Forwarded(trusted_proxies=("10.0.0.0/8",)))
    bounds.adopt(trusting, ["10.0.0.1"])
    assert bounds.addresses.enter("10.0.0.1")


async def test_who_has_left_makes_room():
    config = Config(server=Server(max_connections=1, max_connections_per_address=1))
    bounds = Bounds(config, Counters())
    bounds.entrance.room.enter()
    assert bounds.addresses.enter("10.0.0.1")
    bounds.left("10.0.0.1")
    await bounds.entrance.room.wait()
    assert bounds.addresses.enter("10.0.0.1")
