"""Holding channels for a block in which they are subscribed to."""

from collections.abc import Collection

import trio

from realtime_proxy.channels.membership import Owner, WorkerChannels
from realtime_proxy.channels.registry import Registry

Channels = WorkerChannels[trio.Event]


def channels_of(registry: Registry, owner: Owner, linger_seconds: float) -> Channels:
    """The channels of this process, which follow who is subscribed in its registry."""
    channels: Channels = WorkerChannels(
        owner, trio.Event.set, registry.has_subscribers, linger_seconds
    )
    registry.on_deserted = channels.deserted
    registry.on_poll_left = channels.poll_left
    return channels


class Holding:
    """Within this block the items of these channels come here: subscribe in it.

    A class and not a generator, as every hold goes through it.
    """

    __slots__ = ("_channels", "_names")

    def __init__(self, channels: Channels, names: Collection[str]) -> None:
        self._channels = channels
        self._names = names

    async def __aenter__(self) -> Channels:
        """Wait until all are granted; the result tells their last ids."""
        waits = [self._channels.pin(name, trio.Event) for name in self._names]
        try:
            for event in waits:
                if event is not None and not event.is_set():
                    await event.wait()
        except BaseException:
            self._unpin()
            raise
        return self._channels

    async def __aexit__(self, *_: object) -> None:
        self._unpin()

    def _unpin(self) -> None:
        for name in self._names:
            self._channels.unpin(name)
