"""What stands before a held client, between a real intake and a hold that notes what it gets."""

from types import SimpleNamespace

import pytest
import trio
import trio.testing

from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.grip.http_filter import FilterReply
from realtime_proxy.inputs.holding import channels_of
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Action, HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.personal_delivery import PersonalDelivery
from realtime_proxy.wire.encodings import WireForm

ROUTE = SimpleNamespace(chain=None, id="route")


class Owner:
    """Grants every channel at once."""

    def hold(self, channel):
        return Grant()

    def release(self, channel):
        pass


class Backend:
    """Stands in for the requests of filters: answers what a test says, when it says so."""

    def __init__(self):
        self.asked = []
        self.send, self.receive = trio.open_memory_channel(100)

    async def ask(self, _errand, request):
        self.asked.append(request.body)
        answer = await self.receive.receive()
        if isinstance(answer, FilterError):
            raise answer
        return answer


class Hold:
    """A stream of one channel or more, at places that count."""

    form = WireForm.RAW
    queue = ""

    def __init__(self, house, filters, positions):
        self.context = house
        self.connection = SimpleNamespace(context=house, close=self.log_close)
        self.log = []
        self.ends_with = None
        self.personal = PersonalDelivery(self, ROUTE, None)
        chains = {channel: FilterChain(names) for channel, names in filters.items()}
        self.personal.filter_by(chains, {"url": "/", "id_format": "%(a)s"})
        shared = len(positions) > 1
        self.places = [
            house.registry.subscribe(channel, self, shared=shared, position=position)
            for channel, position in positions.items()
        ]

    @property
    def writer(self):
        return self

    def sent(self):
        self.messages = getattr(self, "messages", 0) + 1

    def log_close(self, reason):
        self.log.append(reason)

    def scope_on(self, _channel):
        return None

    def write(self, data):
        self.log.append(data)
        if data == self.ends_with:
            self.personal.close()

    def item_arrived(self, item):
        self.log.append(item.http_stream.action)

    def fell_behind(self, item):
        self.log.append(("early", item.id, self.last_ids()["a"]))

    def as_seen(self, item):
        return item

    def last_ids(self):
        return {place.group.channel: place.group.position for place in self.places}

    def is_tracked(self, channel):
        return self.last_ids()[channel] is not None

    def skipped(self, item, error):
        self.log.append(("skipped", item.id, str(error)))

    def fall_back(self, channel, position):
        [place] = [place for place in self.places if place.group.channel == channel]
        again = self.context.registry.subscribe(channel, self, position=position)
        self.places[self.places.index(place)] = again
        self.context.registry.unsubscribe(place)


@pytest.fixture
def house(nursery):
    timers = Timers()
    registry = Registry()
    channels = channels_of(registry, Owner(), 0)
    intake = Intake(registry, channels, timers)
    nursery.start_soon(intake.run)
    crew = SimpleNamespace(start=lambda work: nursery.start_soon(work, None))
    return SimpleNamespace(
        registry=registry,
        intake=intake,
        timers=timers,
        crew=crew,
        filter_requests=Backend(),
        tally=None,
    )


def item(number, content=b"", channel="a", *, action=Action.SEND):
    text = content or b"%d" % number
    stream = HttpStream(action, text if action is Action.SEND else b"")
    return Item(channel, id=str(number), prev_id=str(number - 1), http_stream=stream)


async def publish(house, *items):
    house.intake.submit(items)
    await trio.testing.wait_all_tasks_blocked()


async def answer(house, reply):
    await house.filter_requests.send.send(reply)
    await trio.testing.wait_all_tasks_blocked()


async def test_ids_are_those_of_the_item_itself(house):
    hold = Hold(house, {"a": ["build-id"]}, {"a": "0"})
    await publish(house, item(1, b"%I"), item(2, b"%I"))
    assert hold.log == [b"1", b"2"]


async def test_what_follows_a_skipped_item_in_the_same_round_is_early(house):
    hold = Hold(house, {"a": ["var-subst"]}, {"a": "0"})
    await publish(house, item(1), item(2, b"%"), item(3), item(4))
    assert hold.log[0] == b"1"
    assert hold.log[1][:2] == ("skipped", "2")
    assert hold.log[2:] == [("early", "3", "1"), ("early", "4", "1")]
    await publish(house, item(5))
    assert hold.log[4:] == [("early", "5", "1")]


async def test_what_follows_a_skipped_item_later_is_early(house):
    hold = Hold(house, {"a": ["var-subst"]}, {"a": "0"})
    await publish(house, item(1, b"%"))
    await publish(house, item(2))
    assert hold.log[1:] == [("early", "2", "0")]
    await publish(house, item(1))  # as if it were asked for, and had come
    assert hold.log[2:] == [b"1"]


async def test_what_waits_behind_a_skipped_item_is_early(house):
    hold = Hold(house, {"a": ["http-check"]}, {"a": "0", "b": None})
    await publish(house, item(1), item(2), item(7, channel="b"))
    await answer(house, FilterReply(200))
    await answer(house, FilterError("no answer"))
    assert hold.log == [b"1", ("skipped", "2", "no answer"), b"7"]
    await publish(house, item(3))
    assert hold.log[3:] == [("early", "3", "1")]
    assert house.filter_requests.asked == [b"", b""]


async def test_untracked_channels_go_on(house):
    hold = Hold(house, {"a": ["var-subst"]}, {"a": None})
    await publish(house, item(1, b"%"), item(2))
    assert hold.log[1:] == [b"2"]


async def test_actions_come_in_their_turn(house):
    hold = Hold(house, {"a": ["http-check"]}, {"a": None})
    await publish(house, item(1), item(2, action=Action.CLOSE))
    assert hold.log == []
    await answer(house, FilterReply(200))
    await answer(house, FilterReply(204))
    assert hold.log == [b"1", Action.CLOSE]


async def test_a_hold_that_ends_gets_nothing_more(house):
    hold = Hold(house, {"a": ["http-modify"]}, {"a": None})
    hold.ends_with = b"changed"
    await publish(house, item(1), item(2))
    await answer(house, FilterReply(200, None, b"changed"))
    await publish(house, item(3))
    assert hold.log == [b"changed"]
    assert house.filter_requests.asked == [b"1"]
    assert house.filter_requests.receive.statistics().tasks_waiting_receive == 0


async def test_a_hold_that_ends_while_a_filter_is_asked(house):
    hold = Hold(house, {"a": ["http-check"]}, {"a": None})
    await publish(house, item(1))
    assert house.filter_requests.receive.statistics().tasks_waiting_receive == 1
    hold.personal.close()
    await trio.testing.wait_all_tasks_blocked()
    assert house.filter_requests.receive.statistics().tasks_waiting_receive == 0
    assert hold.log == []


async def test_a_hold_that_ends_just_when_a_filter_fails(house):
    hold = Hold(house, {"a": ["http-check"]}, {"a": None})
    await publish(house, item(1))
    house.filter_requests.send.send_nowait(FilterError("no answer"))  # too late to be cancelled
    hold.personal.close()
    await trio.testing.wait_all_tasks_blocked()
    assert hold.log == []


async def test_a_defect_behind_a_filter_ends_its_hold_alone(house):
    hold = Hold(house, {"a": ["http-check"]}, {"a": None})
    await publish(house, item(1))
    hold.personal.when_settled(lambda: 1 / 0)
    await answer(house, FilterReply(200))
    assert hold.log == [b"1", CloseReason.INTERNAL_ERROR]
