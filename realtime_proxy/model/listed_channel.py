"""A channel as operators see it."""

import msgspec


class ListedChannel(msgspec.Struct, frozen=True):
    """Who listens to a channel: by kind (`http-stream`, `response`, `websocket`), and by worker.

    `last_id` is that of its last item, None if it is not known.
    """

    name: str
    subscribers: dict[str, int]
    workers: dict[int, int]
    last_id: str | None


def listed_channel(
    name: str, by_worker: dict[int, dict[str, int]], last_id: str | None
) -> ListedChannel:
    """What the workers say of a channel, added up."""
    subscribers: dict[str, int] = {}
    for counts in by_worker.values():
        for kind, count in counts.items():
            subscribers[kind] = subscribers.get(kind, 0) + count
    workers = {worker: sum(counts.values()) for worker, counts in by_worker.items()}
    return ListedChannel(
        name, subscribers, {worker: count for worker, count in workers.items() if count}, last_id
    )
