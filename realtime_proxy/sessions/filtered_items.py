"""The items of one held client on their way through the filters of their channels.

They go one after another: while a filter has a backend asked, later ones wait (filters.md F-2.11).

Where the order of ids counts, a client does not get past an item on which a filter failed: what
follows on its channel comes too early, until the place in the channel is set back (F-2.10).
"""

from collections import deque
from collections.abc import Iterable, Mapping

import attrs

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import NO_FILTERS, FilterChain, Filtering, FilterInput
from realtime_proxy.grip.http_filter import FilterReply, FilterRequest
from realtime_proxy.model.item import Action, Item
from realtime_proxy.sessions.item_content import content_of, with_content
from realtime_proxy.wire.encodings import Payload, WireForm

# Of one client (grip.md G-6.4.7); what comes beyond is skipped.
MAX_WAITING_ITEMS = 100


@attrs.frozen
class Deliver:
    """Let the client have an item; `data` is its wire form, if that is known already."""

    item: Item
    data: bytes | None


@attrs.frozen
class Skip:
    """The client does not get an item because a filter failed.

    `is_gap` if it then misses something: its place in the channel has to be set back, and
    `set_back` to be called.
    """

    item: Item
    error: FilterError
    is_gap: bool = False


@attrs.frozen
class ComeTooEarly:
    """An item does not follow what the client has of its channel."""

    item: Item


@attrs.frozen
class Ask:
    """Send a filter's request, and report its reply or failure."""

    request: FilterRequest


Outcome = Deliver | Skip | ComeTooEarly | Ask


@attrs.define
class _Arrived:
    item: Item
    payload: Payload
    data: bytes | None
    given: FilterInput
    is_tracked: bool
    is_early: bool


class FilteredItems:
    """The line of items of one client. An item that a filter drops has no outcome at all.

    `chains` has the filters of channels by their whole names; channels without have none.
    """

    __slots__ = ("_filtering", "_form", "_gaps", "_waiting", "chains", "meta")

    def __init__(
        self, form: WireForm, chains: dict[str, FilterChain], meta: Mapping[str, str]
    ) -> None:
        self._form = form
        self.chains = chains
        self.meta = meta
        self._waiting: deque[_Arrived] = deque()  # the first of them is with its filters
        self._filtering: Filtering | None = None
        self._gaps: set[str] = set()  # channels whose place is to be set back

    def arrived(
        self,
        item: Item,
        data: bytes | None,
        last_ids: Mapping[str, str | None],
        *,
        is_tracked: bool = False,
    ) -> list[Outcome]:
        """The next item of any channel; `is_tracked` if it had to follow the one before.

        `last_ids` tells what the client has once it has this item (see `FilterInput`).
        """
        payload = self._form.payload_of(item)
        if payload is None:
            return []
        given = FilterInput(self.meta, item.meta, last_ids)
        is_early = item.channel in self._gaps
        arrived = _Arrived(item, payload, data, given, is_tracked, is_early)
        if len(self._waiting) > MAX_WAITING_ITEMS:
            error = FilterError("too many items wait for a filter")
            return [self._skip(arrived, error, later=())]
        self._waiting.append(arrived)
        return self._go_on() if len(self._waiting) == 1 else []

    def set_back(self, channel: str) -> None:
        """The place in a channel is before the skipped item: what arrives now follows again."""
        self._gaps.discard(channel)

    def replied(self, reply: FilterReply) -> list[Outcome]:
        """The answer to what was asked."""
        return self._go_on(reply)

    def failed(self, error: FilterError) -> list[Outcome]:
        """There is no answer to what was asked."""
        return [*self._decided(error), *self._go_on()]

    def clear(self) -> None:
        """Forget all items; nothing is asked any more."""
        self._waiting.clear()
        self._filtering = None

    def _go_on(self, reply: FilterReply | None = None) -> list[Outcome]:
        """Let items through until one has to wait for an answer."""
        outcomes: list[Outcome] = []
        while self._waiting:
            if self._waiting[0].is_early:
                outcomes.append(ComeTooEarly(self._waiting.popleft().item))
                continue
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
            return [self._skip(first, result, self._waiting)]
        if result is None:
            return []
        is_as_it_was = result == content_of(payload) and not payload.content_filters
        if is_as_it_was or payload.action is not Action.SEND:
            return [Deliver(item, first.data)]
        try:
            return [Deliver(with_content(item, payload, result), None)]
        except FilterError as error:
            return [self._skip(first, error, self._waiting)]

    def _skip(self, arrived: _Arrived, error: FilterError, later: Iterable[_Arrived]) -> Skip:
        channel = arrived.item.channel
        if arrived.is_tracked:
            self._gaps.add(channel)
            for one in later:
                one.is_early = one.is_early or one.item.channel == channel
        return Skip(arrived.item, error, arrived.is_tracked)
