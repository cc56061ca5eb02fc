"""What is held: the kind of a hold, and the channels it listens to."""

from collections.abc import Iterable
from enum import Enum

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.grip.header_values import Element, parse_element, split_elements

# Of one subscription; more is a mistake of the backend, and each costs time per message.
MAX_FILTERS = 5


class HoldMode(Enum):
    """The value of `Grip-Hold`: one answer later, or a body that stays open."""

    RESPONSE = "response"
    STREAM = "stream"


@attrs.frozen
class Channel:
    """A channel to subscribe to, as the backend names it: without the route's prefix.

    `prev_id` is None unless given; given as empty it counts, and matches items without one.
    """

    name: str
    prev_id: str | None = None
    filters: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if len(self.filters) > MAX_FILTERS:
            raise GripError(f"too many filters for channel '{self.name}'")


def parse_channels(values: Iterable[bytes]) -> list[Channel]:
    """The channels that `Grip-Channel` lines name; empty elements are none."""
    elements = map(parse_element, split_elements(values))
    return [_channel(element) for element in elements if element is not None and element.value]


def _channel(element: Element) -> Channel:
    name = element.value.decode(errors="replace")
    if not element.parameters:  # as with nearly all
        return Channel(name)
    prev_id = element.get(b"prev-id")
    return Channel(
        name,
        None if prev_id is None else prev_id.decode(errors="replace"),
        tuple(
            value.decode(errors="replace")
            for name, value in element.parameters
            if name == b"filter"
        ),
    )
