"""Which worker holds which channel: both ends of it, as values in and messages out.

A worker gets only items of channels it holds. Holding is asked for and granted in order on the
worker's link, so every item published after the grant follows it there, and a hold's head goes out
only after the grant: nothing falls between.
"""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

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

    def release(self, worker: int, channel: str) -> None:
        """A worker has no subscriber left on a channel."""
        holders = self._holders.get(channel)
        if holders is not None:
            holders.discard(worker)
            if not holders:
                del self._holders[channel]

    def forget(self, worker: int) -> None:
        """A worker is gone, and with it all its subscribers."""
        for channel in [name for name, holders in self._holders.items() if worker in holders]:
            self.release(worker, channel)

    def holders(self, channel: str) -> Collection[int]:
        """The workers that get items of a channel."""
        return self._holders.get(channel, ())


class _Held(Generic[Waiter]):
    """A channel that this worker has asked for: granted or not, and who needs it to stay."""

    __slots__ = ("granted", "pins", "waiters")

    def __init__(self) -> None:
        self.granted = False
        self.pins = 0
        self.waiters: list[Waiter] = []


class WorkerChannels(Generic[Waiter]):
    """A worker's end: what it has asked for, and who waits for the answer.

    `ask` and `release` send to the supervisor, `wake` lets a waiter go on, `has_subscribers` looks
    into the registry.
    """

    def __init__(
        self,
        ask: Callable[[str], None],
        release: Callable[[str], None],
        wake: Callable[[Waiter], None],
        has_subscribers: Callable[[str], bool],
    ) -> None:
        self._ask = ask
        self._release = release
        self._wake = wake
        self._has_subscribers = has_subscribers
        self._held: dict[str, _Held[Waiter]] = {}

    def pin(self, channel: str, waiter: Callable[[], Waiter]) -> Waiter | None:
        """Keep a channel while somebody is about to subscribe.

        None if it is held already; else what to wait for until it is.
        """
        held = self._held.get(channel)
        if held is None:
            held = self._held[channel] = _Held()
            self._ask(channel)
        held.pins += 1
        if held.granted:
            return None
        waits = waiter()
        held.waiters.append(waits)
        return waits

    def unpin(self, channel: str) -> None:
        """Whoever was about to subscribe has done so, or given up."""
        held = self._held[channel]
        held.pins -= 1
        self._give_up_unused(channel, held)

    def granted(self, channel: str) -> None:
        """The supervisor's answer: items follow from here on."""
        held = self._held.get(channel)
        if held is None or held.granted:
            return
        held.granted = True
        waiters, held.waiters = held.waiters, []
        for waiter in waiters:
            self._wake(waiter)
        self._give_up_unused(channel, held)

    def deserted(self, channel: str) -> None:
        """The last local subscriber has left."""
        held = self._held.get(channel)
        if held is not None:
            self._give_up_unused(channel, held)

    def names(self) -> list[str]:
        """The channels that this worker holds, or has asked for."""
        return list(self._held)

    def _give_up_unused(self, channel: str, held: _Held[Waiter]) -> None:
        # An unanswered request is let run: its answer comes back here.
        if held.granted and not held.pins and not self._has_subscribers(channel):
            del self._held[channel]
            self._release(channel)
