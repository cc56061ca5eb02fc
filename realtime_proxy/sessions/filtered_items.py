"""The items of one held client on their way through the filters of their channels.

They go one after another: while a filter has a backend asked, later ones wait (filters.md F-2.11).
"""

from collections import deque
from collections.abc import Mapping

import attrs

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import NO_FILTERS, FilterChain, Filtering, FilterInput
from realtime_proxy.grip.http_filter import FilterReply, FilterRequest
from realtime_proxy.model.item import Action, Item
from realtime_proxy.sessions.item_content import Payload, content_of, payload_of, with_content
from realtime_proxy.wire.encodings import WireForm

# Of one client (grip.md G-6.4.7); what comes beyond is skipped.
MAX_WAITING_ITEMS = 100


@attrs.frozen
class Deliver:
    """Let the client have an item; `data` is its wire form, if that is known already."""

    item: Item
    data: bytes | None


@attrs.frozen
class Skip:
    """The client does not get an item because a filter failed."""

    item: Item
    error: FilterError


@attrs.frozen
class Ask:
    """Send a filter's request, and report its reply or failure."""

    request: FilterRequest


Outcome = Deliver | Skip | Ask


@attrs.frozen
class _Arrived:
    item: Item
    payload: Payload
    data: bytes | None
    given: FilterInput


class FilteredItems:
    """The line of items of one client. An item that a filter drops has no outcome at all.

    `chains` has the filters of channels by their whole names; channels without have none.
    """

    __slots__ = ("_filtering", "_form", "_waiting", "chains", "meta")

    def __init__(
        self, form: WireForm, chains: dict[str, FilterChain], meta: Mapping[str, str]
    ) -> None:
        self._form = form
        self.chains = chains
        self.meta = meta
        self._waiting: deque[_Arrived] = deque()  # the first of them is with its filters
        self._filtering: Filtering | None = None

    def arrived(
        self, item: Item, data: bytes | None, last_ids: Mapping[str, str | None]
    ) -> list[Outcome]:
        """The next item of any channel.

        `last_ids` tells what the client has once it has this item (see `FilterInput`).
        """
        payload = payload_of(item, self._form)
        if payload is None:
            return []
        if len(self._waiting) > MAX_WAITING_ITEMS:
            return [Skip(item, FilterError("too many items wait for a filter"))]
        given = FilterInput(self.meta, item.meta, last_ids)
        self._waiting.append(_Arrived(item, payload, data, given))
        return self._go_on() if len(self._waiting) == 1 else []

    def replied(self, reply: FilterReply) -> list[Outcome]:
        """The answer to what was asked."""
        return self._go_on(reply)

    def failed(self, error: FilterError) -> list[Outcome]:
        """There is no answer to what was asked."""
        return [*self._decided(error), *self._go_on()]

    @property
    def undelivered(self) -> list[Item]:
        """The items that wait, and the one that filters are at."""
        return [arrived.item for arrived in self._waiting]

    def clear(self) -> None:
        """Forget all items; nothing is asked any more."""
        self._waiting.clear()
        self._filtering = None

    def _go_on(self, reply: FilterReply | None = None) -> list[Outcome]:
        """Let items through until one has to wait for an answer."""
        outcomes: list[Outcome] = []
        while self._waiting:
            try:
                request = self._step(reply)
            except StopIteration as stop:
                outcomes += self._decided(stop.value)
            except FilterError as error:
                outcomes += self._decided(error)
            else:
                return [*outcomes, Ask(request)]
            reply = None
        return outcomes

    def _step(self, reply: FilterReply | None) -> FilterRequest:
        """Go on with the first item. Raises StopIteration with its content, or FilterError."""
        if self._filtering is not None and reply is not None:
            return self._filtering.send(reply)
        first = self._waiting[0]
        chain = self.chains.get(first.item.channel, NO_FILTERS)
        chain.check_content_filters(first.payload.content_filters)
        self._filtering = chain.run(first.given, content_of(first.payload))
        return next(self._filtering)

    def _decided(self, result: bytes | FilterError | None) -> list[Outcome]:
        """What becomes of the first item, now that it is known: its content, or none, or why."""
        self._filtering = None
        first = self._waiting.popleft()
        item, payload = first.item, first.payload
        if isinstance(result, FilterError):
            return [Skip(item, result)]
        if result is None:
            return []
        is_as_it_was = result == content_of(payload) and not payload.content_filters
        if is_as_it_was or payload.action is not Action.SEND:
            return [Deliver(item, first.data)]
        try:
            return [Deliver(with_content(item, payload, result), None)]
        except FilterError as error:
            return [Skip(item, error)]
