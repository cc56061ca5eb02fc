"""A worker's end of its link: channels are asked for, items are handed to the intake."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import msgspec
import structlog
import trio

from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Config, Publish
from realtime_proxy.inputs.holding import channels_of
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.inputs.limited_intake import LimitedIntake
from realtime_proxy.inputs.link_messages import (
    Kind,
    decode_config,
    decode_item,
    encode_item,
    encode_tallied,
)
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.overview import Inspector
from realtime_proxy.inputs.questions import ANSWER_SECONDS, Questions
from realtime_proxy.inputs.tokens import SharedTokens
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.consumer_record import decode_record
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.decision import Renewal
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

Renew = Callable[[str, str, bytes], Awaitable[Renewal]]

# Who answers this worker's questions.
_SUPERVISOR = 0

_encode = msgspec.msgpack.Encoder().encode
_decode_filter = msgspec.msgpack.Decoder(ConnectionFilter).decode
_decode_dismissal = msgspec.msgpack.Decoder(Dismissal).decode

log = structlog.get_logger()


class WorkerLink:
    """Keeps this worker's channels known to the supervisor, and takes what it sends."""

    def __init__(
        self,
        socket: PairSocket,
        settings: Publish,
        registry: Registry,
        connections: OpenConnections,
        timers: Timers,
        counters: Counters,
    ) -> None:
        self._socket = socket
        self._registry = registry
        self._connections = connections
        linger_seconds = settings.subscription_linger_seconds
        self.channels = channels_of(registry, self, linger_seconds)
        self._tokens: SharedTokens | None = None
        self.intake = self._intake_of(settings, timers, counters)
        self._may_admit = trio.Event()
        self.on_configure: Callable[[Config], None] = _ignore
        self.on_reopen: Callable[[], None] = _ignore
        self.on_visits_wanted: Callable[[bool], None] = _ignore
        self.on_drain: Callable[[float], None] = _ignore
        self.on_renew: Renew = _unknown
        self._questions = Questions()
        self.stored = StoredConsumers()
        self._knows_consumers = trio.Event()
        self.inspector: Inspector | None = None  # there before this worker is ready

    def _intake_of(self, settings: Publish, timers: Timers, counters: Counters) -> Intake:
        limits = Limits.of(settings)
        if limits is None:
            return Intake(self._registry, self.channels, timers)
        if limits.per_second:
            self._tokens = SharedTokens(limits.per_second, self._want_tokens)
        return LimitedIntake(self._registry, self.channels, timers, limits, self._tokens, counters)

    def _want_tokens(self, count: int) -> None:
        self._socket.send([Kind.WANT, b"%d" % count])

    def adopt(self, settings: Publish) -> None:
        """Go by these settings from now on."""
        self.channels.linger_seconds = settings.subscription_linger_seconds

    # -- to the owner of channels --------------------------------------------------------------

    def hold(self, channel: str) -> None:
        """Ask for a channel; the answer comes later."""
        self._socket.send([Kind.HOLD, channel.encode()])

    def release(self, channel: str) -> None:
        """Nobody listens to a channel here any more."""
        self._socket.send([Kind.RELEASE, channel.encode()])

    def contradicted(self, channel: str, last_id: str) -> None:
        """A backend knows another last id of a channel than this."""
        self._socket.send([Kind.CONTRADICTED, channel.encode(), last_id.encode()])

    def tell_tallied(self, tallied: Tallied) -> None:
        """What this worker has counted."""
        self._socket.send([Kind.TALLY, encode_tallied(tallied)])

    async def learn_consumers(self) -> None:
        """Ask for the consumers of the store; back when `stored` has what is known of them."""
        self._socket.send([Kind.CONSUMERS])
        await self._knows_consumers.wait()

    def tell_ready(self) -> None:
        """All is ready for clients."""
        self._socket.send([Kind.READY])

    async def admitted(self) -> None:
        """Come back when clients may be taken."""
        await self._may_admit.wait()

    def publish(self, item: Item) -> int:
        """Publish from inside a worker: the item goes to all of them in one order.

        How many subscribers it has in this one.
        """
        self._socket.send([Kind.PUBLISH, encode_item(item)])
        return self._registry.count(item)

    async def dismiss_everywhere(self, which: ConnectionFilter, dismissal: Dismissal) -> None:
        """Have all workers, this one too, end the connections meant; nobody waits for that."""
        self._socket.send([Kind.DISMISS, _encode(which), _encode(dismissal)])

    async def renew_elsewhere(self, connection_id: str, handler: str, credential: bytes) -> Renewal:
        """Have the worker that holds a connection renew its credential, if there is one."""
        parts = [connection_id.encode(), handler.encode(), credential]
        with self._questions.new() as question:
            question.put_to(_SUPERVISOR)
            self._socket.send([Kind.RENEW, b"%d" % question.number, *parts])
            # The supervisor itself waits as long for workers.
            await question.settled(ANSWER_SECONDS + 1)
        answer = question.answers.get(_SUPERVISOR)
        return Renewal.UNANSWERED if answer is None else Renewal(answer[0].decode())

    async def _renew(self, number: bytes, names: list[bytes], credential: bytes) -> None:
        """Renew a credential for another worker, if the connection is here."""
        connection_id, handler = (name.decode() for name in names)
        try:
            renewal = await self.on_renew(connection_id, handler, credential)
        except Exception:
            log.exception("renewal failed")
            renewal = Renewal.REFUSED
        self._socket.send([Kind.ANSWER, number, renewal.value.encode()])

    async def run(self) -> None:
        """Take what the supervisor sends, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for message in await self._socket.receive():
                    self._arrived(message, nursery)

    def _arrived(self, message: list[bytes], nursery: trio.Nursery) -> None:
        kind, *parts = message
        match Kind(kind):
            case Kind.GRANTED:
                self._granted(*(part.decode() for part in parts))
            case Kind.ITEMS:
                self._items_arrived(parts)
            case Kind.LOST:
                # Nobody knows which items: all who can ask their backends do so.
                log.error("items were lost on the way to this worker", items=int(parts[0]))
                self.intake.recover()
            case Kind.UPDATE:
                self.intake.update([parts[0].decode()])
            case Kind.REFRESH_CHANNEL:
                self.intake.refresh(parts[0].decode())
            case Kind.RENEWED:
                self._questions.answered(_SUPERVISOR, int(parts[0]), parts[1:])
            case Kind.TOKENS:
                if self._tokens is not None:
                    self._tokens.given(int(parts[0]))
            case Kind.RECOVER:
                self.intake.recover()
            case Kind.CONFIGURE:
                self.on_configure(decode_config(parts[0]))
            case Kind.VISITS:
                self.on_visits_wanted(parts[0] == b"1")
            case Kind.REOPEN:
                self.on_reopen()
            case Kind.CONSUMERS:
                self._know_consumers(parts)
            case Kind.CONSUMER if len(parts) == 1:
                self.stored.remove(parts[0].decode())
            case Kind.CONSUMER:
                self.stored.put(decode_record(parts[1]))
            case Kind.ADMIT:
                self._may_admit.set()
            case Kind.DRAIN:
                self.on_drain(float(parts[0]))
            case _:
                self._asked(Kind(kind), parts, nursery)

    def _asked(self, kind: Kind, parts: list[bytes], nursery: trio.Nursery) -> None:
        """Answer a question of the supervisor."""
        number, *about = parts
        match kind:
            case Kind.COUNT:
                reach = self.intake.reach(_decoded(about))
                self._socket.send([Kind.ANSWER, number, *(b"%d" % count for count in reach)])
                self._taken(about)
            case Kind.REFRESH:
                found = self._connections.refresh(about[0])
                self._socket.send([Kind.ANSWER, number, b"%d" % found])
            case Kind.CONNECTED:
                names = self._connections.connected(about)
                self._socket.send([Kind.ANSWER, number, *names])
            case Kind.LIST | Kind.DISMISS if self.inspector is not None:
                nursery.start_soon(self._inspect, self.inspector, kind, parts)
            case Kind.RENEW:
                nursery.start_soon(self._renew, number, about[:2], about[2])
            case Kind.SUBSCRIBERS:
                counts = [self._registry.subscribers(name.decode()) for name in about]
                self._socket.send([Kind.ANSWER, number, _encode(counts)])

    def _know_consumers(self, parts: list[bytes]) -> None:
        is_known, *encoded = parts
        records = [decode_record(part) for part in encoded]
        for record in records:
            self.stored.put(record)
        self.stored.keep({record.id for record in records})
        self.stored.is_known = is_known == b"1"
        self._knows_consumers.set()

    async def _inspect(self, inspector: Inspector, kind: Kind, parts: list[bytes]) -> None:
        """Look through the connections, which takes a while if there are many."""
        number, which = parts[0], _decode_filter(parts[1])
        try:
            if kind is Kind.LIST:
                page = await inspector.page(which, int(parts[2]), int(parts[3]))
                answer = _encode(page)
            else:
                answer = b"%d" % await inspector.dismiss(which, _decode_dismissal(parts[2]))
        except Exception:
            # A defect met on one connection must not end the worker.
            log.exception("inspection failed")
        else:
            self._socket.send([Kind.ANSWER, number, answer])

    def _granted(self, channel: str, last_id: str | None = None) -> None:
        # Of an earlier time when this worker had the channel, older items may still be in line; and
        # newer ones may come before it is their turn.
        self.intake.in_turn(partial(self._let_in, channel, Grant(last_id)), channel)

    def _let_in(self, channel: str, grant: Grant) -> None:
        if self.channels.granted(channel, grant):
            self.intake.expect_newcomers()

    def _items_arrived(self, parts: list[bytes]) -> None:
        self.intake.submit(_decoded(parts), lambda: self._taken(parts))

    def _taken(self, parts: list[bytes]) -> None:
        self._socket.send([Kind.TAKEN, b"%d" % sum(map(len, parts))])


def _decoded(parts: list[bytes]) -> Iterator[Item]:
    for part in parts:
        try:
            item = decode_item(part)
        except Exception:
            # What one item is made of must not end the worker.
            log.exception("item failed", size=len(part))
        else:
            yield item


def _ignore(*_: object) -> None:
    """Nobody is there yet to do what the supervisor says."""


async def _unknown(*_: object) -> Renewal:
    """No connections are known yet."""
    return Renewal.UNKNOWN
