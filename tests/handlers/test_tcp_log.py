"""The TCP log: the shape of its records, and that they arrive, if late, or are counted."""

import json
import ssl
import time
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
import trustme

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.pipeline import (
    ConnectionRecord,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    RequestHead,
    WebSocketEvent,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.pipeline.services import HandlerServices

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "tcp_log.py")


@pytest.fixture
def make(request):
    """Make a handler whose name is the test's own: backlogs are shared by name."""

    def make_one(port=9, services=None, **settings):
        with files_relative_to(CHECKOUT):
            config = structure({"host": "127.0.0.1", "port": port, **settings}, Handler.Config)
        return Handler(
            config, HandlerContext(request.node.name, structlog.get_logger(), services=services)
        )

    return make_one


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as records:
        yield records


def new_exchange(held="", identity=None, **record):
    headers = Headers([(b"Host", b"a.test"), (b"Cookie", b"secret"), (b"Accept", b"*/*")])
    request = RequestHead(b"GET", b"/feed?jwt=secret&x=1", headers)
    return Exchange(
        request,
        "main",
        "https",
        "192.0.2.1",
        identity=identity,
        held=held,
        record=ConnectionRecord(time.time(), opened_at=time.time() if held else None, **record),
    )


async def until(is_so):
    with trio.fail_after(20):
        while not is_so():  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.01)


def records_of(handler):
    return [json.loads(line) for line in handler.backlog.lines]


class Collector:
    """Takes lines on a port of its own; `close` ends its connections."""

    def __init__(self, nursery, tls=None):
        self.lines = []
        self.streams = []
        self._nursery = nursery
        self._tls = tls

    async def open(self, port=0):
        (self.listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        self._nursery.start_soon(trio.serve_listeners, self._serve, [self.listener])
        return self.listener.socket.getsockname()[1]

    async def _serve(self, stream):
        if self._tls is not None:
            stream = trio.SSLStream(stream, self._tls, server_side=True)
        self.streams.append(stream)
        rest = b""
        try:
            async for data in stream:
                *lines, rest = (rest + data).split(b"\n")
                self.lines += lines
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def wait_for(self, count):
        await until(lambda: len(self.lines) >= count)
        return [json.loads(line) for line in self.lines]


# -- records -------------------------------------------------------------------------------------


def test_a_record_has_kongs_shape(make):
    handler = make()
    exchange = new_exchange(
        "stream",
        Identity("alice"),
        status=200,
        response_headers=Headers([(b"Content-Type", b"text/plain"), (b"Set-Cookie", b"secret")]),
        backend="b:80",
        backend_status=200,
        backend_seconds=0.25,
        channels=("news",),
        messages_out=3,
        bytes_out=700,
    )
    handler.on_open(exchange)
    handler.on_close(exchange, "client-gone")
    opened, closed = records_of(handler)
    assert (opened["event"], closed["event"]) == ("open", "close")
    assert closed["reason"] == "client-gone"
    assert closed["request"] == {
        "method": "GET",
        "uri": "/feed?jwt=***&x=1",
        "url": "https://a.test/feed?jwt=***&x=1",
        "querystring": {"jwt": "***", "x": "1"},
        "headers": {"host": "a.test", "cookie": "***", "accept": "*/*"},
        "size": 80,
    }
    assert closed["response"] == {
        "status": 200,
        "headers": {"content-type": "text/plain", "set-cookie": "***"},
        "size": 700,
    }
    assert closed["client_ip"] == "192.0.2.1"
    assert closed["authenticated_entity"] == {"id": "alice"}
    assert closed["consumer"] == {"username": "alice"}
    assert closed["route"] == {"id": "main", "name": "main"}
    assert (closed["upstream_uri"], closed["upstream_status"]) == ("/feed?jwt=***&x=1", "200")
    assert (closed["latencies"]["proxy"], closed["tries"]) == (250, [{"target": "b:80"}])
    assert abs(closed["started_at"] - time.time() * 1000) < 60_000
    assert (closed["held"], closed["channels"]) == ("stream", ["news"])
    assert (closed["messages_out"], closed["bytes_out"]) == (3, 700)
    assert "secret" not in handler.backlog.lines[1].decode()


def test_a_classic_record(make):
    handler = make(profile="classic")
    handler.on_close(new_exchange(status=200), "finished")
    (line,) = handler.backlog.lines
    assert line.endswith(b"}\r\n")
    record = json.loads(line)
    assert record["request"]["request_uri"] == "https://a.test/feed?jwt=***&x=1"
    assert record["api"] == {"name": "main"}
    assert "latencies" not in record
    assert "authenticated_entity" not in record


def test_messages_of_websockets(make):
    handler = make()
    exchange = new_exchange("websocket", messages_in=1, bytes_in=9, close_code=1001)
    event = WebSocketEvent("TEXT", b"private")
    assert handler.on_websocket_event(exchange, event) is event
    handler.on_close(exchange, "client-closed")
    message, closed = records_of(handler)
    assert (message["event"], message["type"], message["size"]) == ("message", "TEXT", 7)
    assert "private" not in handler.backlog.lines[0].decode()
    assert (closed["close_code"], closed["messages_in"], closed["bytes_in"]) == (1001, 1, 9)


def test_what_is_not_wanted_is_left_out(make):
    handler = make(requests=False, messages=False)
    handler.on_close(new_exchange(), "finished")
    handler.on_websocket_event(new_exchange("websocket"), WebSocketEvent("TEXT", b"x"))
    assert records_of(handler) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"tls": True, "tls_ca": "no PEM"}, "tls_ca"), ({"profile": "odd"}, "profile")],
)
def test_settings_that_can_not_be(make, settings, key):
    with pytest.raises(ConfigError, match=key):
        make(**settings)


# -- sending -------------------------------------------------------------------------------------


async def test_records_arrive_in_order(make, nursery):
    collector = Collector(nursery)
    handler = make(await collector.open())
    nursery.start_soon(handler.run)
    for reason in ("a", "b", "c"):
        handler.on_close(new_exchange(), reason)
    records = await collector.wait_for(3)
    assert [record["reason"] for record in records] == ["a", "b", "c"]
    assert len(collector.streams) == 1
    nursery.cancel_scope.cancel()


async def test_records_over_tls(make, nursery):
    ca = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("logs.test").configure_cert(tls)
    collector = Collector(nursery, tls)
    pem = ca.cert_pem.bytes().decode()
    handler = make(await collector.open(), tls=True, tls_sni="logs.test", tls_ca=pem)
    nursery.start_soon(handler.run)
    handler.on_close(new_exchange(), "a")
    (record,) = await collector.wait_for(1)
    assert record["reason"] == "a"
    nursery.cancel_scope.cancel()


async def test_a_collector_that_is_not_who_it_should_be_gets_nothing(make, nursery, log):
    ca = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("other.test").configure_cert(tls)
    collector = Collector(nursery, tls)
    pem = ca.cert_pem.bytes().decode()
    handler = make(await collector.open(), tls=True, tls_sni="logs.test", tls_ca=pem)
    nursery.start_soon(handler.run)
    handler.on_close(new_exchange(), "a")
    await until(lambda: log)
    assert log[0]["event"] == "log collector not reached"
    assert "certificate" in log[0]["problem"]
    assert collector.lines == []
    nursery.cancel_scope.cancel()


async def test_it_connects_again_after_the_collector_has_closed(make, nursery):
    collector = Collector(nursery)
    handler = make(await collector.open())
    nursery.start_soon(handler.run)
    handler.on_close(new_exchange(), "a")
    await collector.wait_for(1)
    await collector.streams[0].aclose()
    handler.on_close(new_exchange(), "b")
    await collector.wait_for(2)
    assert len(collector.streams) == 2
    nursery.cancel_scope.cancel()


async def test_what_finds_no_room_is_dropped_and_counted(make, nursery, log):
    counters = Counters()
    services = HandlerServices(None, None, None, counters=counters)
    small = make(services=services, max_backlog_bytes=1)
    for _ in range(3):
        small.on_close(new_exchange(), "lost")
    assert (small.backlog.dropped, list(small.backlog.lines)) == (3, [])
    assert counters.log_records_dropped == 3
    collector = Collector(nursery)
    handler = make(await collector.open())  # of the same name: the configuration was read again
    assert handler.backlog is small.backlog
    nursery.start_soon(handler.run)
    handler.on_close(new_exchange(), "kept")
    await collector.wait_for(1)
    await until(lambda: log)
    assert log == [
        {"event": "log records dropped", "count": 3, "in_all": 3, "log_level": "warning"}
    ]
    nursery.cancel_scope.cancel()


async def test_what_waits_at_the_end_is_sent(make, nursery):
    collector = Collector(nursery)
    handler = make(await collector.open())
    async with trio.open_nursery() as running:
        running.start_soon(handler.run)
        await trio.testing.wait_all_tasks_blocked()
        handler.on_close(new_exchange(), "cut")
        running.cancel_scope.cancel()
    (record,) = await collector.wait_for(1)
    assert record["reason"] == "cut"
    nursery.cancel_scope.cancel()


async def test_the_end_does_not_wait_for_a_collector_that_takes_nothing(make, autojump_clock):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        handler = make(port, max_backlog_bytes=30_000_000)
        handler.backlog.add(b"x" * 20_000_000, 30_000_000)
        begun_at = trio.current_time()
        async with trio.open_nursery() as running:
            running.start_soon(handler.run)
            running.cancel_scope.cancel()
    assert 1 <= trio.current_time() - begun_at <= 5
    assert handler.backlog.lines


async def test_the_end_does_not_wait_for_a_collector_that_is_not_there(make, autojump_clock):
    handler = make()
    handler.on_close(new_exchange(), "lost")
    begun_at = trio.current_time()
    async with trio.open_nursery() as running:
        running.start_soon(handler.run)
        running.cancel_scope.cancel()
    assert trio.current_time() == begun_at
