"""The ids of items that were published a short while ago: a second one with the same is dropped."""

from collections import OrderedDict

# An id takes about 250 bytes. At 2,500 items a second, a minute has 150,000.
MAX_IDS = 250_000


class RecentIds:
    """Remembers ids of channels for a time that counts from when they were first seen."""

    def __init__(self, seconds: float, max_ids: int = MAX_IDS) -> None:
        """`seconds`: how long, 0 for not at all; beyond `max_ids` the oldest is forgotten."""
        self.seconds = seconds
        self._max_ids = max_ids
        self._seen_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen_at)

    def is_repeated(self, channel: str, item_id: str, now: float) -> bool:
        """True if the channel has had an item with this id; else it has from now on."""
        if not self.seconds:
            self._seen_at.clear()
            return False
        self._forget_old(now)
        key = _key(channel, item_id)
        if key in self._seen_at:
            return True
        self._seen_at[key] = now
        if len(self._seen_at) > self._max_ids:
            self._seen_at.popitem(last=False)
        return False

    def forget(self, channel: str, item_id: str) -> None:
        """Take the next item with this id for the first."""
        self._seen_at.pop(_key(channel, item_id), None)

    def _forget_old(self, now: float) -> None:
        oldest = now - self.seconds
        while self._seen_at and next(iter(self._seen_at.values())) <= oldest:
            self._seen_at.popitem(last=False)


def _key(channel: str, item_id: str) -> str:
    return f"{len(channel)} {channel}{item_id}"  # one text is smaller than a pair
