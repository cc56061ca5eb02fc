"""The supervisor's end of the links: every published item to the workers that hold its channel."""

from collections.abc import Callable, Iterable, Sequence

import attrs
import structlog
import trio

from realtime_proxy.channels.membership import HubChannels
from realtime_proxy.config.schema import Config, Publish
from realtime_proxy.inputs.hub_overview import HubOverview
from realtime_proxy.inputs.link_messages import (
    Kind,
    decode_item,
    decode_tallied,
    encode_config,
    encode_item,
)
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.publishing import Reach, Topics
from realtime_proxy.inputs.questions import UNASKED, Questions
from realtime_proxy.inputs.tokens import TokenDesk
from realtime_proxy.inputs.waiting_room import WaitingRoom
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.model.consumer_record import ConsumerRecord, encode_record
from realtime_proxy.model.item import Item, Publication
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.decision import Renewal
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

# So many bytes of items may be on the way to one worker; what is published beyond is lost to it.
MAX_LINK_BYTES = 64_000_000
# A worker that takes nothing for so long is not waited for: the others would get nothing either.
STUCK_SECONDS = 2.0

# The number of the process whose place this one takes: like a worker, it has clients.
PREDECESSOR = -2

log = structlog.get_logger()


@attrs.define(eq=False)
class _Link:
    """One worker's link: its socket, and what it has been sent but has not dealt with yet."""

    socket: PairSocket
    ready: trio.Event
    line: WaitingRoom
    is_serving: bool = False
    is_stuck: bool = False
    lost: int = 0


class Hub:
    """Takes items where one process would have an intake, and sends them to the workers."""

    def __init__(
        self,
        settings: Publish,
        timers: Timers,
        counters: Counters,
        max_link_bytes: int = MAX_LINK_BYTES,
    ) -> None:
        self._counters = counters
        self._max_link_bytes = max_link_bytes
        self._max_queued_bytes = self._bound_of(settings)
        self._channels = HubChannels()
        self.order = Order(
            settings,
            timers,
            counters,
            is_held=self._channels.is_held,
            forward=self._send,
            update=self._update,
        )
        self._links: dict[int, _Link] = {}
        self._questions = Questions()
        self.overview = HubOverview(self, self._channels, self.order)
        self.on_tallied: Callable[[int, Tallied], None] = _ignore
        self.on_gone: Callable[[int], None] = _ignore
        # What is published in workers goes the way of all that is: there may be more than this.
        self.on_published: Callable[[Iterable[Item]], None] = self.submit
        rate = settings.max_deliveries_per_second
        self._tokens = TokenDesk(rate, timers) if rate else None
        self.consumers: StoredConsumers | None = None  # those that workers have a copy of
        self._configuration: bytes | None = None  # the latest that workers were told
        self._visits_wanted = True
        self._admits = False

    def _bound_of(self, settings: Publish) -> int:
        """Publishers are to wait well before anything is lost."""
        return min(settings.max_queued_bytes, self._max_link_bytes // 2)

    async def serve(self, worker: int, socket: PairSocket, ready: trio.Event) -> None:
        """Be the other end of one worker's link until cancelled; `ready` is set when it serves."""
        line = WaitingRoom(self._max_queued_bytes, self._counters)
        self._links[worker] = _Link(socket, ready, line)
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    for message in await socket.receive():
                        self._arrived(worker, message, nursery)
        finally:
            del self._links[worker]
            line.open()
            self.on_gone(worker)
            for channel in self._channels.forget(worker):
                self.order.end(channel)
            self._questions.gone(worker)

    def _arrived(self, worker: int, message: list[bytes], nursery: trio.Nursery) -> None:
        kind, *parts = message
        link = self._links[worker]
        match Kind(kind):
            case Kind.READY:
                if worker != PREDECESSOR:
                    log.info("worker serves", worker=worker)
                link.is_serving = True
                link.ready.set()
                if self._admits:
                    link.socket.send([Kind.ADMIT])
                if self._configuration is not None:  # it was started with an older one, perhaps
                    link.socket.send([Kind.CONFIGURE, self._configuration])
                if not self._visits_wanted:
                    link.socket.send([Kind.VISITS, b"0"])
            case Kind.HOLD:
                self._hold(worker, *(part.decode() for part in parts))
            case Kind.RELEASE:
                if self._channels.release(worker, channel := parts[0].decode()):
                    self.order.end(channel)
            case Kind.CONTRADICTED:
                self.order.contradicted(parts[0].decode(), parts[1].decode())
            case Kind.TAKEN:
                self._taken(link, int(parts[0]))
            case Kind.CONSUMERS if self.consumers is not None:
                link.socket.send(_all_of(self.consumers))
            case Kind.WANT:
                self._give_tokens_to(worker, link, int(parts[0]))
            case Kind.PUBLISH:
                self.on_published(decode_item(part) for part in parts)
            case Kind.DISMISS:
                self._tell_all([Kind.DISMISS, UNASKED, *parts])
            case Kind.RENEW:
                nursery.start_soon(self._renew, worker, parts[0], parts[1:])
            case Kind.ANSWER:
                self._questions.answered(worker, int(parts[0]), parts[1:])
            case Kind.TALLY:
                self.on_tallied(worker, decode_tallied(parts[0]))

    def _give_tokens_to(self, worker: int, link: _Link, count: int) -> None:
        """Let a worker deliver so many, when its turn has come."""

        def give() -> None:
            if self._links.get(worker) is link:  # else it is gone
                link.socket.send([Kind.TOKENS, b"%d" % count])

        if self._tokens is not None:
            self._tokens.ask(count, give)

    # -- channels --------------------------------------------------------------------------

    def _hold(self, worker: int, channel: str, known_id: str | None = None) -> None:
        if self._channels.hold(worker, channel):
            self.order.begin(channel)
        if known_id is not None:
            self.order.learn(channel, known_id)
        last_id = self.order.grant(channel).last_id
        known = [] if last_id is None else [last_id.encode()]
        self._links[worker].socket.send([Kind.GRANTED, channel.encode(), *known])

    def _update(self, channel: str) -> None:
        for worker in self._channels.holders(channel):
            self._links[worker].socket.send([Kind.UPDATE, channel.encode()])

    def recover(self) -> None:
        """Forget all last ids, and have every hold ask its backend."""
        self.order.recover()
        for link in self._links.values():
            link.socket.send([Kind.RECOVER])

    def refresh_channel(self, channel: str) -> None:
        """Have all WebSockets of a channel ask their backends."""
        for worker in self._channels.holders(channel):
            self._links[worker].socket.send([Kind.REFRESH_CHANNEL, channel.encode()])

    def show_channels(self, topics: Topics) -> None:
        """From now on, have these know which channels any worker holds."""
        self.order.show_channels(self._channels.names(), topics)

    # -- telling all -----------------------------------------------------------------------

    def configure(self, config: Config) -> None:
        """Have every worker serve by this configuration, and go by it here."""
        self.order.adopt(config.publish)
        self._max_queued_bytes = self._bound_of(config.publish)
        for link in self._links.values():
            link.line.max_bytes = self._max_queued_bytes
        self._configuration = encode_config(config)
        self._tell_all([Kind.CONFIGURE, self._configuration])

    def reopen_logs(self) -> None:
        """Have every worker begin a new log file."""
        self._tell_all([Kind.REOPEN])

    def tell_visits(self, is_wanted: bool) -> None:
        """Have every worker tell of each client, or not, as nobody would hear of it."""
        self._visits_wanted = is_wanted
        self._tell_all([Kind.VISITS, b"%d" % is_wanted])

    def tell_consumer(self, record_id: str, record: ConsumerRecord | None) -> None:
        """Have every worker know a consumer as it is now; None: it is gone."""
        known = [] if record is None else [encode_record(record)]
        self._tell_all([Kind.CONSUMER, record_id.encode(), *known])

    def tell_consumers(self) -> None:
        """Have every worker know all consumers anew."""
        if self.consumers is not None:
            self._tell_all(_all_of(self.consumers))

    def admit(self) -> None:
        """Have every worker take clients, and those that come later."""
        self._admits = True
        self._tell_all([Kind.ADMIT])

    def drain(self, seconds: float) -> None:
        """Have every worker let its clients go over so many seconds, and end."""
        self._tell_all([Kind.DRAIN, b"%f" % seconds])

    def _tell_all(self, message: list[bytes]) -> None:
        for worker, link in self._links.items():
            if worker != PREDECESSOR:
                link.socket.send(message)

    # -- items -----------------------------------------------------------------------------

    async def room(self) -> None:
        """Wait until all workers take more; for one that does not go on only for a while."""
        for link in list(self._links.values()):
            if not link.is_stuck:
                with trio.move_on_after(STUCK_SECONDS) as waiting:
                    await link.line.wait()
                link.is_stuck = waiting.cancelled_caught

    def submit(self, items: Iterable[Publication]) -> None:
        """Send items, in their order, to every worker that holds their channels."""
        self.order.submit(items)

    def _send(self, items: Iterable[Item]) -> None:
        for worker, parts in self._by_worker(items):
            link = self._links[worker]
            if self._has_room(link, parts):
                link.socket.send([Kind.ITEMS, *parts])
            else:
                self._lose(worker, link, len(parts))

    def _by_worker(self, items: Iterable[Item]) -> list[tuple[int, list[bytes]]]:
        """The encoded items that each worker is to get."""
        parts: dict[int, list[bytes]] = {}
        for item in items:
            data = None
            for worker in self._channels.holders(item.channel):
                data = data or self._encoded(item)
                if data is None:
                    break
                parts.setdefault(worker, []).append(data)
        return list(parts.items())

    def _encoded(self, item: Item) -> bytes | None:
        """An item as it goes over links, None if it can't: one item must not end publishing."""
        try:
            return encode_item(item)
        except RecursionError:
            log.warning("item skipped: nested too deeply", channel=item.channel)
            self._counters.items_refused += 1
            return None

    def _has_room(self, link: _Link, parts: list[bytes]) -> bool:
        """Take up room on a link, if it has that much."""
        size = sum(map(len, parts))
        if link.lost or (
            link.line.waiting_bytes and link.line.waiting_bytes + size > self._max_link_bytes
        ):
            return False
        link.line.enter(size)
        return True

    def _lose(self, worker: int, link: _Link, count: int) -> None:
        if not link.lost:
            log.error(
                "worker is too slow: items are lost",
                worker=worker,
                waiting=link.line.waiting_bytes,
            )
        link.lost += count
        self._counters.items_lost += count

    def _taken(self, link: _Link, size: int) -> None:
        link.line.leave(size)
        link.is_stuck = False
        # After a loss there has to be some room, or there would be one notice after the other.
        if link.lost and link.line.waiting_bytes <= self._max_link_bytes // 2:
            link.socket.send([Kind.LOST, b"%d" % link.lost])
            link.lost = 0

    def serving(self) -> list[int]:
        """The workers that serve clients at this moment, in order."""
        return [worker for worker in self._with_clients() if worker != PREDECESSOR]

    def _with_clients(self) -> list[int]:
        """All that have clients: the process before this one may have some left, too."""
        return sorted(worker for worker, link in self._links.items() if link.is_serving)

    # -- questions -------------------------------------------------------------------------

    async def count(self, items: Iterable[Item]) -> Reach:
        """How many subscribers items have, over all workers that answer in time."""
        with self._questions.new() as question:
            for worker, parts in self._by_worker(items):
                link = self._links[worker]
                if self._has_room(link, parts):
                    question.put_to(worker)
                    link.socket.send([Kind.COUNT, b"%d" % question.number, *parts])
            await question.settled()
        reaches = [Reach(*map(int, answer)) for answer in question.answers.values()]
        return Reach(*(sum(reach[index] for reach in reaches) for index in range(2)))

    async def refresh_connection(self, name: bytes) -> bool:
        """Have a connection ask its backend, if it is a WebSocket; False if it is unknown."""
        answers, _ = await self.ask(Kind.REFRESH, [name], self._with_clients())
        return [b"1"] in answers.values()

    async def connected(self, names: list[bytes]) -> list[bytes] | None:
        """Those of the names that are connections; None if a worker does not answer in time."""
        answers, is_complete = await self.ask(Kind.CONNECTED, names, self._with_clients())
        found = {name for answer in answers.values() for name in answer}
        return [name for name in names if name in found] if is_complete else None

    async def _renew(self, worker: int, number: bytes, parts: list[bytes]) -> None:
        """Have whichever of the other workers holds a connection renew its credential."""
        others = [other for other in self.serving() if other != worker]
        answers, is_complete = await self.ask(Kind.RENEW, parts, others)
        unknown = Renewal.UNKNOWN if is_complete else Renewal.UNANSWERED
        told = (answer[0] for answer in answers.values())
        known = (one for one in told if one != Renewal.UNKNOWN.value.encode())
        renewal = next(known, unknown.value.encode())
        self._links[worker].socket.send([Kind.RENEWED, number, renewal])

    async def ask(
        self,
        kind: Kind,
        parts: list[bytes],
        workers: Sequence[int],
        seconds: float | None = None,
    ) -> tuple[dict[int, list[bytes]], bool]:
        """The answers of these workers, and whether those are all there will be."""
        with self._questions.new() as question:
            for worker in workers:
                question.put_to(worker)
                self._links[worker].socket.send([kind, b"%d" % question.number, *parts])
            is_complete = await question.settled(seconds)
        return question.answers, is_complete


def _all_of(consumers: StoredConsumers) -> list[bytes]:
    """All consumers, and whether these are all there are."""
    records = map(encode_record, consumers.records.values())
    return [Kind.CONSUMERS, b"%d" % consumers.is_known, *records]


def _ignore(*_: object) -> None:
    """Nobody asks."""
