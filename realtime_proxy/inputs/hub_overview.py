"""All clients of several workers, who are asked over their links."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from realtime_proxy.channels.membership import HubChannels
from realtime_proxy.inputs.link_messages import Kind
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.overview import Unanswered
from realtime_proxy.inputs.questions import ANSWER_SECONDS
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.listed_channel import ListedChannel, listed_channel
from realtime_proxy.model.listed_connection import ConnectionPage

Answer = TypeVar("Answer")

# A worker may have many connections to end, and does so while it serves the others.
DISMISS_SECONDS = 30.0

_encode = msgspec.msgpack.Encoder().encode
_decode_page = msgspec.msgpack.Decoder(ConnectionPage).decode
_decode_counts = msgspec.msgpack.Decoder(list[dict[str, int]]).decode


class Workers(Protocol):
    """The workers, as the hub reaches them."""

    def serving(self) -> list[int]:
        """The workers that serve clients at this moment, in order."""

    async def ask(
        self, kind: Kind, parts: list[bytes], workers: Sequence[int], seconds: float
    ) -> tuple[dict[int, list[bytes]], bool]:
        """The answers by worker, and whether those are all there will be."""


class HubOverview:
    """Answers from what the workers say."""

    def __init__(self, workers: Workers, channels: HubChannels, order: Order) -> None:
        self._workers = workers
        self._channels = channels
        self._order = order

    @property
    def serving_workers(self) -> int:
        """How many workers serve clients at this moment."""
        return len(self._workers.serving())

    def workers(self) -> list[int]:
        """The numbers of the workers that serve."""
        return self._workers.serving()

    async def page(
        self, worker: int, which: ConnectionFilter, after: int, limit: int
    ) -> ConnectionPage:
        """Some of the connections of a worker; nothing if it is gone. Raises Unanswered."""
        parts = [_encode(which), b"%d" % after, b"%d" % limit]
        workers = [worker] if worker in self._workers.serving() else []
        for page in (await self._answers(Kind.LIST, parts, _decode_page, workers)).values():
            return page
        return ConnectionPage([], None)

    async def dismiss(self, which: ConnectionFilter, dismissal: Dismissal) -> int:
        """End the connections meant, of all workers; how many there were. Raises Unanswered."""
        parts = [_encode(which), _encode(dismissal)]
        return sum((await self._answers(Kind.DISMISS, parts, int, None, DISMISS_SECONDS)).values())

    def is_held(self, channel: str) -> bool:
        """True if any worker holds a channel."""
        return self._channels.is_held(channel)

    def channel_names(self) -> list[str]:
        """All channels that any worker holds."""
        return self._channels.names()

    async def channels(self, names: list[str]) -> list[ListedChannel]:
        """Who listens to these, in their order. Raises Unanswered."""
        parts = [name.encode() for name in names]
        counts = await self._answers(Kind.SUBSCRIBERS, parts, _decode_counts)
        return [
            listed_channel(
                name,
                {worker: told[index] for worker, told in counts.items()},
                self._order.grant(name).last_id,
            )
            for index, name in enumerate(names)
        ]

    async def _answers(
        self,
        kind: Kind,
        parts: list[bytes],
        decode: Callable[[bytes], Answer],
        workers: list[int] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> dict[int, Answer]:
        asked = self._workers.serving() if workers is None else workers
        answers, is_complete = await self._workers.ask(kind, parts, asked, seconds)
        if not is_complete:
            missing = ", ".join(str(worker) for worker in asked if worker not in answers)
            raise Unanswered(f"no answer from worker {missing} within {seconds:g} seconds")
        return {worker: decode(answer[0]) for worker, answer in answers.items()}
