import contextlib
import json
import socket

import pytest
import trio
import trio.lowlevel
import trio.testing
import zmq

from realtime_proxy.app.stats_side import StatsSide
from realtime_proxy.config.schema import Config, Metrics, Stats
from realtime_proxy.errors import ConfigError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.metrics.tallied import Delivered, Listened, Tallied, Visit, Visited
from realtime_proxy.metrics.traffic import Traffic

SECONDS = 10


class Socket:
    """Stands in for the PUB socket; somebody listens to everything but `conn`."""

    def __init__(self, endpoint, _mode):
        self.endpoint = endpoint
        self.packets = []
        self.unwanted = b"conn "
        self.changed = trio.Event()

    def send(self, parts):
        [message] = parts
        kind, _, rest = message.partition(b" J")
        self.packets.append((kind.decode(), json.loads(rest)))

    def is_wanted(self, topic):
        return topic != self.unwanted

    async def listeners_change(self):
        await self.changed.wait()
        self.changed = trio.Event()

    def close(self):
        self.changed.set()


@pytest.fixture
def sent(monkeypatch):
    """A side that tells statistics, and what it has told."""
    made = []

    def make(endpoint, mode, _sockets):
        made.append(Socket(endpoint, mode))
        return made[0]

    monkeypatch.setattr("realtime_proxy.app.stats_side.PubSocket", make)
    stats = Stats(pub="tcp://127.0.0.1:1", format="json", report_interval_seconds=5)
    counters = Counters()
    side = StatsSide(Config(stats=stats), counters)
    return side, counters, made[0]


async def test_time_brings_reports_and_refreshes(sent, nursery, autojump_clock):
    side, counters, listener = sent
    packets = listener.packets
    nursery.start_soon(side.run)
    await trio.testing.wait_all_tasks_blocked()
    side.add(0, Tallied(listened=[Listened("ws", "a", 1)]))
    assert [(kind, packet["subscribers"]) for kind, packet in packets] == [("sub", 1)]
    counters.items_published += 3
    await trio.sleep(6)
    [report] = [packet for kind, packet in packets if kind == "report"]
    assert report["received"] == 3
    await trio.sleep(40)
    assert [kind for kind, _ in packets].count("sub") == 2
    side.forget(0)
    assert packets[-1][1]["unavailable"]
    assert len({packet["from"] for _, packet in packets}) == 1


async def test_what_several_workers_deliver_is_told_when_it_is_due(
    sent, nursery, autojump_clock, monkeypatch
):
    monkeypatch.setattr(sent[0], "_statistics", Statistics(Stats(), 60.0, merges=True))
    side, _, listener = sent
    nursery.start_soon(side.run)
    await trio.sleep(0.35)
    side.add(0, Tallied(delivered=[Delivered("a", "1", "ws-message", 2, 0)]))
    await trio.sleep(0.2)
    side.add(1, Tallied(delivered=[Delivered("a", "1", "ws-message", 3, 0)]))
    assert not listener.packets
    await trio.sleep(0.2)
    assert [packet["count"] for kind, packet in listener.packets if kind == "message"] == [5]


async def test_visits_are_not_asked_for_while_nobody_listens(sent, nursery, autojump_clock):
    side, _, listener = sent
    packets = listener.packets
    wanted = []
    side.on_visits_wanted = wanted.append
    nursery.start_soon(side.run)
    await trio.sleep(1)
    assert wanted == [False]
    visited = [Visited(Visit("1", "r", "http", "", tls=False), ended=False)]
    side.add(0, Tallied(visited=visited, listened=[Listened("ws", "a", 1)]))
    assert [kind for kind, _ in packets] == ["sub"]
    listener.unwanted = b""
    listener.changed.set()
    await trio.testing.wait_all_tasks_blocked()
    assert wanted == [False, True]
    side.add(0, Tallied(visited=visited))
    assert [kind for kind, _ in packets] == ["sub", "conn"]
    side.end()
    await trio.testing.wait_all_tasks_blocked()
    assert wanted == [False, True, False]


async def test_nobody_who_asks_is_nothing_to_do():
    side = StatsSide(Config(), Counters())
    with trio.fail_after(SECONDS):
        await side.run()
    side.add(0, Tallied())
    side.close()


async def test_both_over_real_sockets(nursery, tmp_path):
    pub, listen = f"ipc://{tmp_path}/new/stats", f"unix:{tmp_path}/metrics"
    config = Config(stats=Stats(pub=pub), metrics=Metrics(listen=listen))
    side = StatsSide(config, Counters())
    with contextlib.closing(side), trio.fail_after(SECONDS):
        nursery.start_soon(side.run)
        with zmq.Context() as context, context.socket(zmq.SUB) as sub:
            sub.subscribe(b"activity ")
            sub.connect(pub)
            while not sub.poll(10):  # until the subscription has come through
                side.add(0, Tallied(traffic={"r": Traffic(activity=1, requests=1)}))
                await trio.lowlevel.checkpoint()
            assert sub.recv().startswith(b"activity T")
        async with await trio.open_unix_socket(f"{tmp_path}/metrics") as client:
            await client.send_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b"".join([part async for part in client])
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\nrequest_received " in answer
        nursery.cancel_scope.cancel()


def test_an_address_of_others_is_refused_and_nothing_stays_open(tmp_path):
    pub = f"ipc://{tmp_path}/stats"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(stats=Stats(pub=pub), metrics=Metrics(listen=listen))
        with pytest.raises(ConfigError, match="can't listen on"):
            StatsSide(config, Counters())
    StatsSide(Config(stats=Stats(pub=pub)), Counters()).close()
    with pytest.raises(ConfigError, match=r"stats\.pub: can't bind"):
        StatsSide(Config(stats=Stats(pub="ipc:///dev/null/stats")), Counters())
