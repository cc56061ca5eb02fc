"""A stream that goes on at a next link: when to ask there, and what becomes of items meanwhile.

Items reach the client on their own way, past this machine, while nothing is missing. A gap makes
them wait here until the backend has filled it. Whatever else makes the backend be asked (time, a
hint, a recovery) is only a check: items are delivered while it is under way.

The *position* in a channel is the id that the client has got last; a channel that is not tracked
has none. Positions are given to each method as they are at that moment. All methods but
`item_waits` may have membership of channels changed, so they are called between two rounds of
delivery, and their effects are performed before the next. The protocol is `docs/grip.md`, links.
"""

import random
from collections.abc import Mapping
from enum import Enum

import attrs

from realtime_proxy.grip.hold import HoldMode
from realtime_proxy.model.item import Item

Positions = Mapping[str, str | None]

# Pauses before a link that could not be fetched is asked again; then the stream ends (G-7.7).
RETRY_SECONDS = (1, 2, 4, 8, 16)
# So often a check may be overtaken by items before they have to wait for it.
MAX_OVERTAKEN = 2
# An item that waits counts for what it takes itself, too.
_ITEM_BYTES = 200

NOT_FOUND = "Failed to retrieve next link."


@attrs.frozen
class Page:
    """What the head of a link's response says. `positions` has its channels.

    `problem` is what keeps its instructions from being followed, once its body is sent.
    """

    hold: HoldMode | None = None
    positions: Positions = attrs.field(factory=dict)
    next_uri: str | None = None
    problem: str = ""


@attrs.frozen
class Ask:
    """Fetch a link. `positions` are those to tell; `urgent` if a client misses something."""

    uri: str
    positions: Positions
    urgent: bool


@attrs.frozen
class AskLater:
    """Call `retry` after so many seconds."""

    seconds: float


@attrs.frozen
class Dismiss:
    """Let go of the response that is under way."""


@attrs.frozen
class Gather:
    """Leave the channels, and give what comes on them to `item_waits` from now on."""


@attrs.frozen
class Forward:
    """The body of the response may go to the client."""


@attrs.frozen
class Follow:
    """Have items of these channels go to the client on their own way, from these positions on.

    What it is given then of those that have waited comes before these positions.
    """

    positions: Positions


@attrs.frozen
class Deliver:
    """Give the client an item that has waited. `positions` are those that it then has."""

    item: Item
    positions: Positions


@attrs.frozen
class End:
    """End the body. With a `problem`, it was not to end here; `is_cut` if some of it is missing."""

    problem: str = ""
    is_cut: bool = False


StreamEffect = Ask | AskLater | Dismiss | Gather | Forward | Follow | Deliver | End


class State(Enum):
    """Where items go, and what is asked."""

    FOLLOWING = "items go to the client, nothing is asked"
    CHECKING = "the link is asked, items go to the client meanwhile"
    RECOVERING = "the link is asked, items wait for the answer"
    RECEIVING = "the answer's body goes to the client, items wait for its end"
    ENDED = "there is nothing more to do"


_NOTHING: Positions = {}
_NOT_ASKED = Ask("", _NOTHING, urgent=False)
_NO_PAGE = Page(positions=_NOTHING)


class HttpStream:
    """The way of one stream from link to link."""

    __slots__ = (
        "_again",
        "_arrived_before",
        "_asked",
        "_fetched",
        "_max_waiting_bytes",
        "_overtaken",
        "_page",
        "_tries",
        "_waiting",
        "_waiting_bytes",
        "state",
        "uri",
    )

    def __init__(self, uri: str | None, max_waiting_bytes: int) -> None:
        """`uri` is the next link, absolute."""
        self.uri = uri
        self.state = State.FOLLOWING
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: list[Item] = []
        self._waiting_bytes = 0
        self._arrived_before = 0
        self._again = False
        self._overtaken = 0
        self._tries = 0
        self._rest()

    def _rest(self) -> None:
        """Keep nothing of a request while none is out: most streams are so for most of the time."""
        self._asked = _NOTHING
        self._fetched = _NOT_ASKED
        self._page = _NO_PAGE

    # -- reasons to ask --------------------------------------------------------------------

    def start_paging(self) -> list[StreamEffect]:
        """The first response holds nothing, and goes on at its link."""
        self.state = State.RECOVERING
        return self._ask({}, urgent=True)

    def update(self, positions: Positions, *, urgent: bool = False) -> list[StreamEffect]:
        """Look whether there is something new: time has passed, or somebody says so."""
        if self.state is State.FOLLOWING and self.uri is not None:
            self.state = State.CHECKING
            return self._ask(positions, urgent=urgent)
        # Asked for already: once more afterwards, as that request may have left before.
        self._again = self.state is not State.FOLLOWING
        return []

    def item_waits(self, item: Item) -> bool:
        """An item that does not follow, or that came while items wait. False if it is dropped."""
        size = _size(item)
        if self._waiting_bytes + size > self._max_waiting_bytes:
            self._again = True  # the backend has it
            return False
        self._waiting.append(item)
        self._waiting_bytes += size
        return True

    def fell_behind(self, positions: Positions) -> list[StreamEffect]:
        """An item was given to `item_waits` because it does not follow the client's position."""
        if self.state not in (State.FOLLOWING, State.CHECKING):
            return []
        dismissed = [Dismiss()] if self.state is State.CHECKING else []
        self.state = State.RECOVERING
        return [Gather(), *dismissed, *self._ask(positions, urgent=True)]

    # -- the answer ------------------------------------------------------------------------

    def answered(self, page: Page) -> None:
        """The head of the response."""
        self._page = page

    def body_begins(self, positions: Positions) -> list[StreamEffect]:
        """The first bytes of the body are here; they go to the client if `Forward` is among it.

        A check that has been overtaken by items would bring them again: it is asked once more.
        """
        if self.state is State.RECOVERING:
            self.state = State.RECEIVING
            return [Forward()]
        if not self._is_overtaken(positions):
            self.state = State.RECEIVING
            self._asked = positions
            return [Gather(), Forward()]
        self._overtaken += 1
        if self._overtaken <= MAX_OVERTAKEN:
            return [Dismiss(), *self._ask(positions, urgent=False)]
        self.state = State.RECOVERING
        return [Dismiss(), Gather(), *self._ask(positions, urgent=True)]

    def completed(self, positions: Positions, known: Positions) -> list[StreamEffect]:
        """The body is sent, or there was none.

        `known` are the last ids of the page's channels, which items can be received on by now.
        """
        page = self._page
        self._tries = self._overtaken = 0
        if page.problem:
            return self._end(page.problem)
        if page.hold is None and page.next_uri is None:
            return self._end()
        if page.hold is not None:
            return self._go_on(page, positions, known)
        return self._turn_over(page.next_uri, page.positions)

    def failed(self) -> list[StreamEffect]:
        """No response, none of success, or one that broke off."""
        if self.state is State.RECEIVING or self._tries == len(RETRY_SECONDS):
            return self._end(NOT_FOUND, is_cut=True)
        pause = RETRY_SECONDS[self._tries] + random.random()  # noqa: S311  not all at once
        self._tries += 1
        return [AskLater(pause)]

    def refused(self, problem: str) -> list[StreamEffect]:
        """The response has instructions that make no sense."""
        return self._end(problem)

    def retry(self, positions: Positions) -> list[StreamEffect]:
        """The pause after a failure is over."""
        if self.state is State.CHECKING:
            return self._ask(positions, urgent=False)
        return self._fetch(self._fetched)

    def ended(self) -> None:
        """The stream has ended for a reason of its own."""
        self.state = State.ENDED
        self._waiting.clear()

    # -- what follows ----------------------------------------------------------------------

    def _ask(self, positions: Positions, *, urgent: bool) -> list[StreamEffect]:
        self._asked = positions
        self._arrived_before = len(self._waiting)
        self._again = False
        return self._fetch(Ask(self.uri or "", positions, urgent))

    def _fetch(self, ask: Ask) -> list[StreamEffect]:
        self._fetched = ask
        self._page = _NO_PAGE
        return [ask]

    def _turn_over(self, uri: str | None, positions: Positions) -> list[StreamEffect]:
        """A page that holds nothing: the next one is fetched. What it says of positions is told.

        After an empty one there is no hurry: pages may go round in a circle.
        """
        urgent = self.state is State.RECEIVING
        if self.state is not State.CHECKING:  # else a check that starts anew has to start before
            self.uri = uri
            self.state = State.RECOVERING
        return self._fetch(Ask(uri or "", {**self._fetched.positions, **positions}, urgent))

    def _end(self, problem: str = "", *, is_cut: bool = False) -> list[StreamEffect]:
        self.ended()
        return [End(problem, is_cut)]

    def _is_overtaken(self, positions: Positions) -> bool:
        return any(
            position is not None and positions.get(channel) != position
            for channel, position in self._asked.items()
        )

    def _go_on(self, page: Page, positions: Positions, known: Positions) -> list[StreamEffect]:
        """A stream hold: its channels and positions are those from here on."""
        now = dict(page.positions)
        effects: list[StreamEffect] = []
        self.uri = page.next_uri
        for channel, position in page.positions.items():
            if position is None:
                continue
            if self.state is State.CHECKING and self._has_advanced(channel, positions):
                now[channel] = positions[channel]
            elif channel not in self._asked and known.get(channel) not in (None, position):
                self._again = True  # something came before it was subscribed to
        released = self._released(now)
        effects += [Follow(dict(now)), *released]
        if self._waiting:
            self.state = State.RECOVERING
            return [*effects, Gather(), *self._ask(now, urgent=True)]
        self.state = State.FOLLOWING
        self._rest()
        return effects + self.update(now) if self._again else effects

    def _has_advanced(self, channel: str, positions: Positions) -> bool:
        asked = self._asked.get(channel)
        return asked is not None and channel in positions and positions[channel] != asked

    def _released(self, now: dict[str, str | None]) -> list[StreamEffect]:
        """Those of the waiting items that follow the positions `now`, which they advance.

        Before one that follows stand those that the answer had, too. Behind it is a gap: from
        there on a channel's items go on waiting.
        """
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        following: set[str] = set()
        left_out: dict[str, tuple[int, Item]] = {}
        effects: list[StreamEffect] = []
        for index, item in enumerate(waiting):
            channel = item.channel
            if channel not in now:
                continue
            position = now[channel]
            if position is None or position == (item.prev_id or ""):
                now[channel] = None if position is None else item.id
                following.add(channel)
                effects.append(Deliver(item, dict(now)))
            elif channel in following:
                self.item_waits(item)
            else:
                left_out[channel] = (index, item)
        for channel, (index, item) in left_out.items():
            # Stored before the backend was asked, it was in the answer. If it came later, the
            # answer had it only if it ends there.
            is_new = index >= self._arrived_before and item.id != self._page.positions[channel]
            self._again = self._again or (is_new and channel not in following)
        return effects


def _size(item: Item) -> int:
    payload = item.http_stream
    return _ITEM_BYTES + (len(payload.content) if payload is not None else 0)
