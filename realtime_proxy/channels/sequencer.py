"""The order of items by their ids: one that comes before the item it follows waits for that.

Kept per channel: the id of the last item that was let through, and what waits (grip.md G-8.5).
"""

from collections import OrderedDict

from realtime_proxy.model.item import Item

MAX_WAITING = 100  # items of one channel (G-8.17)


class _Line:
    """What is known of a channel: the last id, and the items that wait, by what they follow."""

    __slots__ = ("last_id", "waiting")

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.waiting: dict[str, Item] | None = None


class Sequencer:
    """Lets items through in their order. An empty id is none, and so is an empty prev-id."""

    def __init__(self, max_wait_seconds: float) -> None:
        self.max_wait_seconds = max_wait_seconds
        self._lines: dict[str, _Line] = {}
        self._since: OrderedDict[tuple[str, str], float] = OrderedDict()  # channel, prev-id

    @property
    def has_waiting(self) -> bool:
        """True if any item waits: `due` has to be asked about it now and then."""
        return bool(self._since)

    def last_id(self, channel: str) -> str | None:
        """The id of the last item of a channel that was let through; None if it is not known."""
        line = self._lines.get(channel)
        return None if line is None else line.last_id

    def admit(self, item: Item, now: float) -> list[Item] | None:
        """The items that go out now: none if this one waits. None if there is no place for it."""
        line = self._lines.get(item.channel)
        if line is None:
            if item.id:
                line = self._lines[item.channel] = _Line()
                line.last_id = item.id
            return [item]
        if not item.prev_id or line.last_id is None or item.prev_id == line.last_id:
            return self._let_through(line, item)
        return self._keep(line, item, item.prev_id, now)

    def _keep(self, line: _Line, item: Item, prev_id: str, now: float) -> list[Item] | None:
        if line.waiting is None:
            line.waiting = {}
        elif prev_id in line.waiting or len(line.waiting) >= MAX_WAITING:
            return None
        line.waiting[prev_id] = item
        self._since[item.channel, prev_id] = now
        return []

    def _let_through(self, line: _Line, item: Item) -> list[Item]:
        """Let an item through, and what follows it."""
        line.last_id = item.id or None
        items = [item]
        while line.last_id and line.waiting and line.last_id in line.waiting:
            follower = self._take(line, item.channel, line.last_id)
            line.last_id = follower.id or None
            items.append(follower)
        return items

    def _take(self, line: _Line, channel: str, prev_id: str) -> Item:
        assert line.waiting is not None  # noqa: S101
        item = line.waiting.pop(prev_id)
        if not line.waiting:
            line.waiting = None
        del self._since[channel, prev_id]
        return item

    def due(self, now: float) -> list[Item]:
        """The items that have waited long enough, with what follows them."""
        items: list[Item] = []
        while self._since:
            (channel, prev_id), since = next(iter(self._since.items()))
            if since + self.max_wait_seconds > now:
                break
            line = self._lines[channel]
            items += self._let_through(line, self._take(line, channel, prev_id))
        return items

    def learn(self, channel: str, last_id: str) -> None:
        """Somebody else knows the last id of a channel of which nothing is known here."""
        line = self._lines.setdefault(channel, _Line())
        if line.last_id is None:
            line.last_id = last_id

    def withdraw(self) -> list[Item]:
        """Let go of all items that wait: somebody else will know when it is their turn."""
        return [
            self._take(self._lines[channel], channel, prev_id)
            for channel, prev_id in list(self._since)
        ]

    def forget(self, channel: str) -> None:
        """Nobody listens to a channel any more: drop what waits."""
        line = self._lines.pop(channel, None)
        if line is not None:
            for prev_id in line.waiting or ():
                del self._since[channel, prev_id]

    def forget_last_id(self, channel: str) -> None:
        """Take the next item of a channel as it comes."""
        line = self._lines.get(channel)
        if line is not None:
            line.last_id = None

    def forget_last_ids(self) -> None:
        """Take the next item of every channel as it comes."""
        for line in self._lines.values():
            line.last_id = None
