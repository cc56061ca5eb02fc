"""A stream and its task that asks the link, when several things happen at the same moment.

What clients see of links is tested end to end.
"""

from types import SimpleNamespace

import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.backend.response import LocalResponse
from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.errors import BackendUnreachable
from realtime_proxy.grip.instruct import parse_instruct_headers
from realtime_proxy.inputs.holding import Holding, channels_of
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.model.messages import Response
from realtime_proxy.net.crew import Crew
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.lifetimes import Lifetimes
from realtime_proxy.serving.link_tasks import LinkTasks
from realtime_proxy.serving.link_timers import LinkTimers
from realtime_proxy.serving.linked_stream import LinkedStream
from realtime_proxy.serving.links import Links
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_server import BodyForm

URI = "http://backend/next"
ROUTE = SimpleNamespace(
    chain=None,
    channel_prefix="",
    debug=False,
    id="route",
    log=structlog.get_logger(),
    logs_requests=False,
    max_age_seconds=0,
    scope_claim="",
    stats_id="",
)


class Owner:
    """Grants every channel at once."""

    def hold(self, channel):
        return Grant()

    def release(self, channel):
        pass

    def contradicted(self, channel, last_id):
        pass


class LinkRequests:
    """Stands in for the requests: each is answered with what a test says, when it says so."""

    def __init__(self):
        self.asked = []
        self._answers = []

    async def fetch(self, _errand, request):
        self.asked.append(request.last_ids)
        send, receive = trio.open_memory_channel(1)
        self._answers.append(send)
        answer = await receive.receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, number, answer):
        self._answers[number].send_nowait(answer)


def head_of(position):
    return Headers(
        [
            (b"Grip-Hold", b"stream"),
            (b"Grip-Channel", b"a; prev-id=%s" % position),
            (b"Grip-Link", b"<%s>; rel=next; timeout=60" % URI.encode()),
        ]
    )


def page(position, body=b""):
    return LocalResponse(Response(200, head_of(position), body), "backend")


def item(number):
    stream = HttpStream(content=b"%d" % number)
    return Item("a", id=str(number), prev_id=str(number - 1), http_stream=stream)


class Client:
    """A connection that notes what is written to it."""

    def __init__(self, context):
        self.context = context
        self.socket = self
        self.written = []
        self.presence = None

    def write(self, data):
        self.written.append(data)

    async def send(self, data):
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    def hold(self, hold):
        pass


@pytest.fixture
async def house(nursery, timers):
    registry = Registry()
    channels = channels_of(registry, Owner(), 0)
    house = SimpleNamespace(
        registry=registry,
        channels=channels,
        holding=lambda names: Holding(channels, names),
        intake=Intake(registry, channels, timers),
        timers=timers,
        lifetimes=Lifetimes(timers),
        link_tasks=LinkTasks(Crew(nursery)),
        link_timers=LinkTimers(timers),
        link_requests=LinkRequests(),
        server=SimpleNamespace(max_backlog_bytes=1000, hold_timeout_seconds=0),
        grip=SimpleNamespace(max_channels=10),
        tally=None,
        roll=None,
    )
    nursery.start_soon(house.intake.run)
    await settled()
    return house


async def settled():
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def stream(house):
    """A stream at the place 5 of its channel."""
    order = HoldOrder(
        connection=Client(house),
        request=SimpleNamespace(keep_alive=True),
        route=ROUTE,
        positions={"a": "5"},
        implicit=(),
        filters={},
        meta={},
        headers=Headers(),
        backend_head=None,
        body=b"",
        trusted=False,
        tls=False,
        client_address="",
        exchange=None,
        for_page=None,
        is_retry=False,
    )
    instruct = parse_instruct_headers(page(b"5").head)
    links = Links(SimpleNamespace(route=ROUTE, context=house), URI, None)
    async with house.holding(["a"]):
        stream = LinkedStream(order, instruct, BodyForm.CLOSE, links)
        stream.begin(b"")
        stream.follow()
    return stream


async def check(stream):
    stream.update()
    await settled()


async def test_a_check_that_finds_nothing(house, stream):
    await check(stream)
    house.link_requests.answer(0, page(b"5"))
    await settled()
    house.intake.submit([item(6)])
    await settled()
    assert stream.connection.written == [b"6"]


@pytest.mark.parametrize("body", [b"", b"body"])
async def test_a_client_that_leaves_just_when_its_link_is_answered(house, stream, body):
    await check(stream)
    house.link_requests.answer(0, page(b"5", body))
    stream.client_gone(CloseReason.CLIENT_GONE)
    await settled()
    assert len(house.registry) == 0
    assert stream.connection.written == []


async def test_a_client_that_leaves_just_when_its_link_fails(mock_clock, house, stream, jump):
    await check(stream)
    house.link_requests.answer(0, BackendUnreachable("no"))
    stream.client_gone(CloseReason.CLIENT_GONE)
    await settled()
    await jump(60)
    assert len(house.link_requests.asked) == 1


async def test_a_check_that_is_let_go_just_when_it_is_answered(house, stream):
    await check(stream)
    house.intake.submit([item(6)])
    await settled()
    house.link_requests.answer(0, page(b"5"))
    stream.fell_behind(item(8))  # which lets the check go
    await settled()
    assert house.link_requests.asked == [("a; last-id=5",), ("a; last-id=6",)]
    house.link_requests.answer(1, page(b"7", b"7"))
    await settled()
    assert stream.connection.written == [b"6", b"7", b"8"]


class Event(RecordingSubscriber):
    """Somebody else in a long round, at whose turn something happens."""

    def __init__(self, happens):
        super().__init__(WireForm.ITEM)
        self.happens = happens

    def item_arrived(self, _item):
        self.happens()


async def test_a_gap_is_asked_about_once_if_a_pause_ends_just_then(mock_clock, house, stream):
    await check(stream)
    house.link_requests.answer(0, BackendUnreachable("no"))
    await settled()

    def gap_and_later():
        stream.fell_behind(item(8))
        mock_clock.jump(2)

    house.registry.subscribe("b", Event(gap_and_later))
    for _ in range(3 * SLICE):
        house.registry.subscribe("b", RecordingSubscriber(WireForm.ITEM))
    house.intake.submit([Item("b", http_stream=HttpStream(content=b"b"))])
    await settled()
    assert house.link_requests.asked == [("a; last-id=5",), ("a; last-id=5",)]


async def test_a_client_that_leaves_just_when_a_pause_ends(mock_clock, house, stream):
    await check(stream)
    house.link_requests.answer(0, BackendUnreachable("no"))
    await settled()

    house.registry.subscribe("b", Event(lambda: mock_clock.jump(2)))
    for _ in range(3 * SLICE):
        house.registry.subscribe("b", RecordingSubscriber(WireForm.ITEM))
    last = Event(lambda: stream.client_gone(CloseReason.CLIENT_GONE))
    house.registry.subscribe("b", last)
    house.intake.submit([Item("b", http_stream=HttpStream(content=b"b"))])
    await settled()
    assert house.link_requests.asked == [("a; last-id=5",)]
