"""The access log: what is written when, and what is not."""

import time
from pathlib import Path

import pytest
import structlog
import trio

from realtime_proxy.config.structure import structure
from realtime_proxy.pipeline import (
    ConnectionRecord,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    RequestHead,
)
from realtime_proxy.pipeline.catalogue import load_class

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "access_log.py")


@pytest.fixture
def make(request):
    """Make a handler whose name is the test's own: what is held is shared by name."""

    def make_one(**settings):
        config = structure(settings, Handler.Config)
        return Handler(config, HandlerContext(request.node.name, structlog.get_logger()))

    return make_one


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as records:
        yield records


def new_exchange(held="", **record):
    headers = Headers(
        [(b"Host", b"a.test"), (b"User-Agent", b"curl"), (b"Authorization", b"Bearer secret")]
    )
    request = RequestHead(b"GET", b"/feed?token=secret&x=1", headers)
    return Exchange(
        request,
        "main",
        "https",
        "192.0.2.1",
        identity=Identity("alice"),
        held=held,
        record=ConnectionRecord(time.time(), opened_at=time.time() if held else None, **record),
    )


def without_duration(record):
    assert 0 <= record.pop("duration_seconds") < 60
    return record


async def test_a_connection_is_logged_when_it_opens_and_when_it_ends(make, log):
    handler = make()
    exchange = new_exchange("stream", status=200, backend="b:1", channels=("news",))
    handler.on_open(exchange)
    request = {
        "log_level": "info",
        "route": "main",
        "consumer": "alice",
        "client": "192.0.2.1",
        "method": "GET",
        "uri": "https://a.test/feed?token=***&x=1",
        "held": "stream",
        "headers": {"user-agent": "curl"},
        "status": 200,
        "backend": "b:1",
        "channels": ["news"],
    }
    assert [without_duration(record) for record in log] == [
        request | {"event": "connection opened", "messages_out": 0, "bytes_out": 0}
    ]
    exchange.record.messages_out, exchange.record.bytes_out = 3, 700
    handler.on_close(exchange, "client-gone")
    assert without_duration(log[-1]) == request | {
        "event": "connection closed",
        "reason": "client-gone",
        "messages_out": 3,
        "bytes_out": 700,
    }


def test_a_websocket_has_both_ways_and_its_code(make, log):
    exchange = new_exchange("websocket", status=101, messages_in=2, bytes_in=40, close_code=1000)
    make().on_close(exchange, "client-closed")
    (record,) = log
    assert (record["messages_in"], record["bytes_in"], record["close_code"]) == (2, 40, 1000)


def test_requests_that_are_not_held_are_logged_if_wanted(make, log):
    make(requests=False).on_close(new_exchange(status=200), "finished")
    assert log == []
    make().on_close(new_exchange(status=200), "finished")
    assert (log[0]["event"], log[0]["reason"]) == ("request answered", "finished")
    assert "held" not in log[0]
    assert "channels" not in log[0]


async def test_no_secret_is_logged(make, log):
    handler = make(headers=["Authorization", "host"], hidden_parameters=["x"])
    handler.on_open(new_exchange("stream"))
    assert log[0]["headers"] == {"authorization": "***", "host": "a.test"}
    assert log[0]["uri"] == "https://a.test/feed?token=secret&x=***"


async def test_heartbeats_come_when_they_are_due_until_the_end(make, log, nursery, autojump_clock):
    handler = make(heartbeat_seconds=2)
    before = make(heartbeat_seconds=2)  # the configuration is read again
    exchange = new_exchange("stream")
    before.on_open(exchange)
    nursery.start_soon(handler.run)
    await trio.sleep(6.5)
    assert [record["event"] for record in log] == ["connection opened", *["connection held"] * 3]
    before.on_close(exchange, "client-gone")
    count = len(log)
    await trio.sleep(3)
    assert len(log) == count
    nursery.cancel_scope.cancel()


async def test_no_heartbeat_before_its_time(make, log, nursery, autojump_clock):
    handler = make()
    handler.on_open(new_exchange("stream"))
    nursery.start_soon(handler.run)
    await trio.sleep(5)
    assert len(log) == 1
    nursery.cancel_scope.cancel()


async def test_without_heartbeats_nothing_is_remembered(make, log):
    handler = make(heartbeat_seconds=0)
    handler.on_open(new_exchange("stream"))
    assert handler._held == {}
