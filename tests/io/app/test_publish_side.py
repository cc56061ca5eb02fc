import contextlib
import socket
from pathlib import Path

import attrs
import pytest
import trio
import zmq

from realtime_proxy.app.publish_side import PublishSide
from realtime_proxy.config.schema import Publish
from realtime_proxy.errors import ConfigError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.testing.reserved_ports import reserved_ports

SECONDS = 10
ITEM = Item("a", http_stream=HttpStream(content=b"x"))


class Publishing:
    """Takes items as an intake does."""

    def __init__(self):
        self.items = []
        self.some = trio.Event()

    async def room(self):
        """There is some."""

    def submit(self, items):
        self.items += [one.item() for one in items]
        self.some.set()

    async def count(self, items):
        return len(items)

    def recover(self):
        pass

    def show_channels(self, topics):
        topics.subscribe("a")


@pytest.fixture
def ports():
    """Four that are free."""
    with reserved_ports(4) as ports:
        yield ports


async def test_items_come_by_http_and_zeromq(nursery, ports):
    http, pull, sub, command = ports[0], *(f"tcp://127.0.0.1:{port}" for port in ports[1:])
    publishing = Publishing()
    settings = Publish(http=f"127.0.0.1:{http}", pull=pull, sub=(sub,), command=command)
    side = PublishSide(settings, Counters(), Path())
    with contextlib.closing(side), trio.fail_after(SECONDS):
        nursery.start_soon(side.run, publishing)
        body = b'{"items": [{"channel": "a", "formats": {"http-stream": {"content": "x"}}}]}'
        head = b"POST /publish/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with await trio.open_tcp_stream("127.0.0.1", http) as client:
            await client.send_all(head + body)
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert publishing.items == [ITEM]
        publishing.some = trio.Event()
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.connect(pull)
            push.send(b'J{"channel": "a", "formats": {"http-stream": {"content": "x"}}}')
            await publishing.some.wait()
        assert publishing.items == [ITEM, ITEM]
        publishing.some = trio.Event()
        with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
            publisher.connect(sub)
            publisher.rcvtimeo = SECONDS * 1_000
            assert await trio.to_thread.run_sync(publisher.recv) == b"\x01a"
            publisher.send_multipart([b"a", b'J{"formats": {"http-stream": {"content": "x"}}}'])
            await publishing.some.wait()
        assert publishing.items == [ITEM] * 3
        with zmq.Context() as context, context.socket(zmq.REQ) as asker:
            asker.rcvtimeo = SECONDS * 1_000
            asker.connect(command)
            asker.send(b"25:6:method,12:get-zmq-uris,}")
            assert sub.encode() in await trio.to_thread.run_sync(asker.recv)
        nursery.cancel_scope.cancel()


async def test_all_may_be_left_out():
    side = PublishSide(Publish(http="", pull="", sub=(), command=""), Counters(), Path())
    with trio.fail_after(SECONDS):
        await side.run(Publishing())
    side.close()


def test_an_address_of_others_is_refused_and_nothing_stays_open(ports):
    pull = f"tcp://127.0.0.1:{ports[0]}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="can't listen on"):
            PublishSide(Publish(http=http, pull=pull, sub=(), command=""), Counters(), Path())
    again = PublishSide(Publish(http=http, pull=pull, sub=(), command=""), Counters(), Path())
    again.close()
    again.close()


async def test_other_limits_count_from_now_on(nursery, ports):
    http = ports[0]
    settings = Publish(http=f"127.0.0.1:{http}", pull="", sub=(), command="")
    side = PublishSide(settings, Counters(), Path())
    with contextlib.closing(side), trio.fail_after(SECONDS):
        nursery.start_soon(side.run, Publishing())
        side.adopt(attrs.evolve(settings, max_body_bytes=3), None)
        head = b"POST /publish/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        async with await trio.open_tcp_stream("127.0.0.1", http) as client:
            await client.send_all(head)
            assert b"Request body too large" in await client.receive_some()
        nursery.cancel_scope.cancel()


async def test_keys_are_asked_for_where_they_are_configured(nursery, ports, tmp_path):
    http, pull = ports[0], f"tcp://127.0.0.1:{ports[1]}"
    server, client = zmq.curve_keypair(), zmq.curve_keypair()
    (tmp_path / "curve").write_bytes(server[1] + b"\n")
    settings = Publish(
        http=f"127.0.0.1:{http}",
        key="sesame",
        pull=pull,
        sub=(),
        command="",
        curve_key="file:curve",
        curve_clients=(client[0].decode(),),
    )
    publishing = Publishing()
    side = PublishSide(settings, Counters(), tmp_path)
    with contextlib.closing(side), trio.fail_after(SECONDS):
        nursery.start_soon(side.run, publishing)
        for key, status in ((b"", b"401"), (b"Authorization: Bearer sesame\r\n", b"200")):
            async with await trio.open_tcp_stream("127.0.0.1", http) as control:
                head = b"POST /recover/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n%b\r\n"
                await control.send_all(head % key)
                assert (await control.receive_some()).startswith(b"HTTP/1.1 " + status)
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.curve_serverkey = server[0]
            push.curve_publickey, push.curve_secretkey = client
            push.connect(pull)
            push.send(b'J{"channel": "a", "formats": {"http-stream": {"content": "x"}}}')
            await publishing.some.wait()
        assert publishing.items == [ITEM]
        nursery.cancel_scope.cancel()
