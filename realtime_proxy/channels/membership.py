"""Which worker holds which channel: both ends of it, as values in and messages out.

A worker gets only items of channels it holds. Holding is asked for and granted in order on the
worker's link, so every item published after the grant follows it there, and a hold's head goes out
only after the grant: nothing falls between. The only process of one has both ends itself, and its
questions are answered at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Generic, Protocol, TypeVar

import attrs

from realtime_proxy.model.item import Item

# Channels that are kept for a while without a subscriber; beyond, the oldest is given up.
MAX_LINGERING = 100_000

Waiter = TypeVar("Waiter")


class HubChannels:
    """The supervisor's end: who is to get an item."""

    def __init__(self) -> None:
        self._holders: dict[str, set[int]] = {}

    def hold(self, worker: int, channel: str) -> bool:
        """A worker asks for a channel; True if nobody held it before."""
        holders = self._holders.setdefault(channel, set())
        is_first = not holders
        holders.add(worker)
        return is_first

    def release(self, worker: int, channel: str) -> bool:
        """A worker has no subscriber left on a channel; True if nobody holds it any more."""
        holders = self._holders.get(channel)
        if holders is None:
            return False
        holders.discard(worker)
        if holders:
            return False
        del self._holders[channel]
        return True

    def forget(self, worker: int) -> list[str]:
        """A worker is gone, and with it all its subscribers; the channels nobody holds any more."""
        held = [name for name, holders in self._holders.items() if worker in holders]
        return [channel for channel in held if self.release(worker, channel)]

    def names(self) -> list[str]:
        """The channels that any worker holds."""
        return list(self._holders)

    def is_held(self, channel: str) -> bool:
        """True if any worker holds a channel."""
        return channel in self._holders

    def holders(self, channel: str) -> Collection[int]:
        """The workers that get items of a channel."""
        return self._holders.get(channel, ())


@attrs.frozen
class Grant:
    """Leave to hold a channel. `last_id` is that of its last item, None if it is not known."""

    last_id: str | None = None


class Owner(Protocol):
    """Who has the say over channels: the supervisor at the other end of a link, or a part here."""

    def hold(self, channel: str) -> Grant | None:
        """Ask for a channel; None if the answer comes later, by `WorkerChannels.granted`."""

    def release(self, channel: str) -> None:
        """Give a channel back."""

    def contradicted(self, channel: str, last_id: str) -> None:
        """A backend knows another last id of a channel than this."""


class _Held(Generic[Waiter]):
    """A channel that this worker has asked for: granted or not, and who needs it to stay."""

    __slots__ = ("granted", "last_id", "pins", "waiters")

    def __init__(self) -> None:
        self.granted = False
        self.last_id: str | None = None
        self.pins = 0
        self.waiters: list[Waiter] | None = None


class WorkerChannels(Generic[Waiter]):
    """A worker's end: what it has asked for, who waits for the answer, and what is known.

    `wake` lets a waiter go on, `has_subscribers` looks into the registry.
    """

    def __init__(
        self,
        owner: Owner,
        wake: Callable[[Waiter], None],
        has_subscribers: Callable[[str], bool],
        linger_seconds: float = 0.0,
    ) -> None:
        """A channel stays so long after a long-poll has left it: it may well come back."""
        self._owner = owner
        self._wake = wake
        self._has_subscribers = has_subscribers
        self.linger_seconds = linger_seconds
        self._held: dict[str, _Held[Waiter]] = {}
        self._left: dict[str, None] = {}  # by long-polls, since the time was told
        self._lingers_until: OrderedDict[str, float] = OrderedDict()

    # -- coming and going ------------------------------------------------------------------

    def pin(self, channel: str, waiter: Callable[[], Waiter]) -> Waiter | None:
        """Keep a channel while somebody is about to subscribe.

        None if it is held already; else what to wait for until it is.
        """
        held = self._held.get(channel)
        if held is None:
            held = self._held[channel] = _Held()
            grant = self._owner.hold(channel)
            if grant is not None:
                held.granted, held.last_id = True, grant.last_id
        held.pins += 1
        if held.granted:
            return None
        waits = waiter()
        if held.waiters is None:
            held.waiters = []
        held.waiters.append(waits)
        return waits

    def unpin(self, channel: str) -> None:
        """Whoever was about to subscribe has done so, or given up."""
        held = self._held[channel]
        held.pins -= 1
        self._give_up_unused(channel, held)

    def granted(self, channel: str, grant: Grant) -> bool:
        """The supervisor's answer: items follow from here on. True if somebody waited for it."""
        held = self._held.get(channel)
        if held is None or held.granted:
            return False
        held.granted, held.last_id = True, grant.last_id
        waiters, held.waiters = held.waiters or [], None
        for waiter in waiters:
            self._wake(waiter)
        self._give_up_unused(channel, held)
        return bool(waiters)

    def deserted(self, channel: str) -> None:
        """The last local subscriber has left."""
        held = self._held.get(channel)
        if held is not None:
            self._give_up_unused(channel, held)

    def poll_left(self, channel: str) -> None:
        """A long-poll has left: the channel stays for a while, even without subscribers.

        That begins when `expire` is called next.
        """
        if self.linger_seconds:
            self._left[channel] = None

    def expire(self, now: float) -> None:
        """Give up the channels that nobody has come back to; to be called about every second."""
        until = now + self.linger_seconds
        for channel in self._left:
            self._lingers_until[channel] = until
            self._lingers_until.move_to_end(channel)
        self._left.clear()
        while self._lingers_until:
            channel, until = next(iter(self._lingers_until.items()))
            if until > now and len(self._lingers_until) <= MAX_LINGERING:
                break
            self._end_lingering(channel)

    def _end_lingering(self, channel: str) -> None:
        del self._lingers_until[channel]
        self.deserted(channel)

    def _give_up_unused(self, channel: str, held: _Held[Waiter]) -> None:
        # An unanswered request is let run: its answer comes back here.
        if (
            held.granted
            and not held.pins
            and channel not in self._left
            and channel not in self._lingers_until
            and not self._has_subscribers(channel)
        ):
            del self._held[channel]
            self._owner.release(channel)

    # -- what is known ---------------------------------------------------------------------

    def names(self) -> list[str]:
        """The channels that this worker holds, or has asked for."""
        return list(self._held)

    def holds(self, channel: str) -> bool:
        """True if the items of a channel come here, or will."""
        return channel in self._held

    def have(self, channels: Iterable[str]) -> bool:
        """True if the items of all these come here: subscribing at once needs no pin."""
        for channel in channels:
            held = self._held.get(channel)
            if held is None or not held.granted:
                return False
        return True

    def decided(self, item: Item) -> None:
        """An item is about to be delivered: its id is the last one from here on."""
        held = self._held.get(item.channel)
        if held is not None and not item.no_seq:
            held.last_id = item.id or None

    def last_id(self, channel: str) -> str | None:
        """The id of the last item of a channel that was delivered here, None if it is not known.

        Known is only what came while the channel was held by anybody.
        """
        held = self._held.get(channel)
        return None if held is None else held.last_id

    def contradicts(
        self, channel: str, position: str | None, known_when_asked: str | None = None
    ) -> bool:
        """True if a backend says another last id than is known: its answer may be too old.

        Not so if the same was known when it was asked already. Then it is believed, and what is
        known is given up (grip.md G-8.4), but no sooner: others may have older answers still.
        """
        held = self._held.get(channel)
        if held is None or position is None or held.last_id in (None, position):
            return False
        if held.last_id != known_when_asked:
            return True
        self._owner.contradicted(channel, held.last_id)
        held.last_id = None
        return False

    def forget_last_ids(self) -> None:
        """Know no last ids any more."""
        for held in self._held.values():
            held.last_id = None
