"""A worker in the process of the tests."""

import contextlib
import gc

import pytest
import trio
import trio.testing

from realtime_proxy.app.listeners import listeners_of_slots
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Server
from realtime_proxy.errors import ConfigError
from realtime_proxy.inputs.hub import Hub
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket

SECONDS = 10
STREAM = b"GET /stream?channel=a HTTP/1.1\r\nHost: a\r\n\r\n"
FORM = (
    b"POST /demo/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nmessage=x"
)
CONFIG = Config(
    server=Server(listen=("127.0.0.1:0",), max_connections=2),
    route=(Route(targets=(Target(demo=True),)),),
)


@pytest.fixture(autouse=True)
def _collector_as_before():
    """A worker freezes what is there, which is the tests' own here."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Clients:
    """Clients of a worker."""

    def __init__(self, address):
        self._address = address

    @contextlib.asynccontextmanager
    async def sends(self, request):
        async with await trio.open_tcp_stream(*self._address) as stream:
            await stream.send_all(request)
            yield stream


async def read_until(stream, end):
    data = b""
    with trio.fail_after(SECONDS):
        while end not in data:
            part = await stream.receive_some()
            assert part, data
            data += part
    return data


@pytest.fixture
def serve(nursery, tmp_path):
    """Run a worker; gives its clients."""

    def serve(worker):
        (listeners,) = listeners_of_slots(CONFIG.server, 1)
        nursery.start_soon(worker.run, listeners)
        return Clients(listeners[0].socket.getsockname()[:2])

    return serve


async def test_alone_it_takes_items_itself(serve, nursery, tmp_path):
    worker = Worker(CONFIG, tmp_path)
    clients = serve(worker)
    async with clients.sends(STREAM) as stream:
        await read_until(stream, b"opened]\n\r\n")
        assert worker.door.publish(Item("a", http_stream=HttpStream(content=b"item"))) == 1
        assert b"item" in await read_until(stream, b"item")
        worker.close_all()
        with trio.fail_after(SECONDS):
            assert await stream.receive_some() == b""
    nursery.cancel_scope.cancel()


async def test_the_demo_publishes(serve, nursery, tmp_path):
    clients = serve(Worker(CONFIG, tmp_path))
    async with (
        clients.sends(STREAM.replace(b"=a", b"=demo")) as stream,
        clients.sends(FORM) as form,
    ):
        assert b'{"receivers": ' in await read_until(form, b"}")
        await read_until(stream, b"opened]\n\r\n")
    nursery.cancel_scope.cancel()


async def test_more_clients_than_there_is_room_for_wait(serve, nursery, tmp_path):
    clients = serve(Worker(CONFIG, tmp_path))
    async with clients.sends(STREAM) as first, clients.sends(STREAM) as second:
        await read_until(first, b"opened]")
        await read_until(second, b"opened]")
        async with clients.sends(STREAM) as third:
            await first.aclose()
            await read_until(third, b"opened]")
    nursery.cancel_scope.cancel()


async def test_who_waits_is_served_though_a_stop_comes_before_any_is_accepted(nursery, tmp_path):
    """As with a worker that hears of both at once: the kernel has taken clients already."""
    worker = Worker(CONFIG, tmp_path)
    (listeners,) = listeners_of_slots(CONFIG.server, 1)
    clients = Clients(listeners[0].socket.getsockname()[:2])

    async def stop() -> None:
        nursery.start_soon(worker.drain, 0)
        await trio.testing.wait_all_tasks_blocked()

    async with clients.sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") as stream:
        nursery.start_soon(worker.run, listeners, stop)
        assert b"HTTP/1.1 200" in await read_until(stream, b"\r\n\r\n")


async def test_with_a_supervisor_items_come_over_the_link(serve, nursery, tmp_path):
    endpoint = f"ipc://{tmp_path}/link"
    hub, ready = Hub(CONFIG.publish, Timers(), Counters()), trio.Event()
    with PairSocket(endpoint, bind=True) as bound, PairSocket(endpoint, bind=False) as link:
        clients = serve(Worker(CONFIG, tmp_path, link))
        nursery.start_soon(hub.serve, 0, bound, ready)
        hub.admit()
        with trio.fail_after(SECONDS):
            await ready.wait()
        async with (
            clients.sends(STREAM.replace(b"=a", b"=demo")) as stream,
            clients.sends(FORM) as form,
        ):
            await read_until(stream, b"opened]\n\r\n")
            await read_until(form, b"}")
            hub.submit([Item("demo", http_stream=HttpStream(content=b"item"))])
            await read_until(stream, b"item")
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


def test_what_can_not_be_had_is_told_before_anything_is_opened(tmp_path):
    route = Route(targets=(Target(demo=True),), handlers=("no_such_handler",))
    with pytest.raises(ConfigError, match="no_such_handler"):
        Worker(Config(route=(route,)), tmp_path)
