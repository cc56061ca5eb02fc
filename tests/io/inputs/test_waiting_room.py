"""How much may be in line, and who waits."""

import pytest
import trio
import trio.testing

from realtime_proxy.inputs.waiting_room import ITEM_BYTES, WaitingRoom, size_of
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage

SECONDS = 10


async def test_publishers_wait_until_half_of_it_is_gone(nursery):
    counters, came = Counters(), []
    room = WaitingRoom(100, counters)

    async def publish():
        await room.wait()
        came.append(trio.current_time())

    room.enter(99)
    await publish()
    room.enter(1)
    nursery.start_soon(publish)
    nursery.start_soon(publish)
    for left in (49, 1):
        await trio.testing.wait_all_tasks_blocked()
        assert len(came) == 1
        room.leave(left)
    await trio.testing.wait_all_tasks_blocked()
    assert len(came) == 3
    assert counters.limit_queued_bytes == 1
    room.enter(200)
    assert counters.limit_queued_bytes == 2


async def test_nobody_waits_for_one_who_is_gone(nursery):
    room = WaitingRoom(100, Counters())
    room.enter(100)
    nursery.start_soon(room.wait)
    await trio.testing.wait_all_tasks_blocked()
    room.open()
    with trio.fail_after(SECONDS):
        await room.wait()


@pytest.mark.parametrize(
    ("payloads", "size"),
    [
        ({}, 0),
        ({"http_stream": HttpStream(content=b"12")}, 2),
        ({"http_response": HttpResponse(body=b"123")}, 3),
        (
            {
                "http_stream": HttpStream(content=b"12"),
                "ws_message": WebSocketMessage(content=b"1234"),
            },
            6,
        ),
    ],
)
def test_an_item_takes_up_its_contents_and_some_more(payloads, size):
    assert size_of(Item("a", **payloads)) == ITEM_BYTES + size
