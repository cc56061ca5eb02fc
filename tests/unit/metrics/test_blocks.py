import pytest

from realtime_proxy.metrics.blocks import blocks_of, blocks_published
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2)])
def test_begun_blocks_count(size, blocks):
    assert blocks_of(Item("a"), size, 10) == blocks


def test_an_item_may_say_its_size():
    assert blocks_of(Item("a", size=35), 1, 10) == 4


def test_a_publisher_is_counted_the_largest_payload():
    item = Item(
        "a",
        http_response=HttpResponse(body=b"x" * 5),
        http_stream=HttpStream(content=b"x" * 21),
        ws_message=WebSocketMessage(content=b"x" * 20),
    )
    assert blocks_published(item, 10) == 3
    assert blocks_published(Item("a"), 10) == 0
