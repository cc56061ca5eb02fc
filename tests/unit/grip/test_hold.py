"""Channels of a hold."""

import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.hold import MAX_FILTERS, Channel, parse_channels


def test_channels_keep_order_and_repeats():
    lines = [b"b; prev-id=1, a", b"b; filter=x"]
    assert parse_channels(lines) == [Channel("b", "1"), Channel("a"), Channel("b", None, ("x",))]


def test_only_so_many_filters():
    filters = ("f",) * MAX_FILTERS
    assert Channel("c", None, filters).filters == filters
    with pytest.raises(GripError, match=r"^too many filters for channel 'c'$"):
        Channel("c", None, (*filters, "f"))
