"""Whoever comes, goes, renews and publishes: everybody gets what is theirs, once and in order."""

from urllib.parse import quote

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime_proxy.channels.fanout import fan_out
from realtime_proxy.channels.limited_fanout import fan_out_limited
from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.registry import Registry
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.pipeline.client_scope import ClientScope
from realtime_proxy.wire.encodings import WireForm

CHANNELS = ("alerts", "alerts/north", "alerts/south", "alerts/n%2Fs", "alerts/n", "other")
VALUES = ("north", "south", "n/s", "*", "north,south")
CLAIMS = st.one_of(
    st.none(), st.sampled_from(VALUES), st.lists(st.sampled_from(VALUES), max_size=3)
)
# What an item says; None: nothing.
MEANT_FOR = st.one_of(
    st.none(),
    st.sampled_from(("*", "", " ,", "west")),
    st.lists(st.sampled_from(VALUES[:3]), min_size=1, max_size=3).map(", ".join),
)
PLACES = st.integers(0, 1_000)


@attrs.define(eq=False)
class Client:
    """Somebody with a claim, or on a route that asks for none; what came, and what should have."""

    claims: dict | None
    scope: ClientScope | None
    form: WireForm
    channels: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    places: list = attrs.field(factory=list)
    got: list[bytes] = attrs.field(factory=list)
    due: list[bytes] = attrs.field(factory=list)
    missed: list[Item] = attrs.field(factory=list)
    personal = None
    route_id = ""

    @property
    def writer(self):
        return self

    def write(self, data):
        self.got.append(data)

    def scope_on(self, channel):
        return None if self.scope is None else self.scope.on(channel)

    def item_arrived(self, item):
        if item.http_stream is not None:
            self.got.append(item.http_stream.content)

    def fell_behind(self, item):
        self.missed.append(item)

    def may_have(self, item):
        """Said in other words than the code has for it."""
        if item.channel not in self.channels:
            return False
        if self.claims is None:
            return True
        written = self.claims.get("agency")
        mine = {written} if isinstance(written, str) else set(written or ())
        if item.channel in self.named:
            mine = {value for value in mine if item.channel.endswith("/" + quote(value, ""))}
        if "agency" not in item.meta:
            return item.channel in self.named
        told = {value.strip() for value in item.meta["agency"].split(",")}
        return bool(mine) and ("*" in told or bool(mine & told))


class Agencies(RuleBasedStateMachine):
    limits = None

    def __init__(self):
        super().__init__()
        self.registry = Registry()
        self.clients = []
        self.gone = []
        self.number = 0
        self.last_ids = dict.fromkeys(CHANNELS, "")

    @rule(
        claim=CLAIMS,
        is_scoped=st.sampled_from((True, True, True, False)),
        channels=st.lists(
            st.sampled_from(("alerts", "alerts/{claims.agency}", "other")), max_size=2
        ),
        counts=st.booleans(),
        form=st.sampled_from((WireForm.RAW, WireForm.ITEM, WireForm.KEPT)),
    )
    def come(self, claim, is_scoped, channels, counts, form):
        claims = {"agency": claim} if is_scoped else None
        scope = ClientScope.of("agency", claims) if is_scoped else None
        if is_scoped and scope is None:
            assert not claim  # refused: nothing is its own
            return
        names = [(name,) if scope is None else scope.names(name) for name in channels]
        client = Client(claims, scope, form)
        client.channels = tuple({name: None for some in names for name in some})
        client.named = frozenset(
            name
            for template, some in zip(channels, names, strict=True)
            for name in some
            if template != name and scope is not None
        )
        for channel in client.channels:
            position = self.last_ids.get(channel) if counts and form is WireForm.RAW else None
            shared = len(client.channels) > 1
            client.places.append(
                self.registry.subscribe(channel, client, shared=shared, position=position)
            )
        self.clients.append(client)

    @rule(place=PLACES)
    def go(self, place):
        if self.clients:
            client = self.clients.pop(place % len(self.clients))
            for each in client.places:
                self.registry.unsubscribe(each)
            self.gone.append((client, len(client.got)))

    @rule(place=PLACES, claim=CLAIMS)
    def renew(self, place, claim):
        """Who says something else by now has to leave; who stays still has the same rights."""
        scoped = [client for client in self.clients if client.scope is not None]
        if not scoped:
            return
        client = scoped[place % len(scoped)]
        if client.scope.is_of({"agency": claim}):
            client.claims = {"agency": claim}
        else:
            self.go(self.clients.index(client))

    @rule(items=st.lists(st.tuples(st.sampled_from(CHANNELS), MEANT_FOR), min_size=1, max_size=6))
    def publish(self, items):
        made = [self.new_item(*one) for one in items]
        for item in made:
            for client in self.clients:
                if client.may_have(item):
                    client.due.append(item.http_stream.content)
            assert self.registry.count(item) == sum(
                client.may_have(item) for client in self.clients
            )
        self.deliver(made)

    def new_item(self, channel, meant_for):
        self.number += 1
        item_id, prev_id = str(self.number), self.last_ids[channel]
        self.last_ids[channel] = item_id
        meta = {} if meant_for is None else {"agency": meant_for}
        content = HttpStream(content=b"%d;" % self.number)
        return Item(channel, item_id, prev_id or None, http_stream=content, meta=meta)

    def deliver(self, items):
        for _ in fan_out(self.registry, items, 1.0, lambda _item: None):
            pass

    @invariant()
    def everybody_has_what_is_theirs_once_and_in_order(self):
        for client in self.clients:
            assert b"".join(client.got) == b"".join(client.due)

    @invariant()
    def nobody_who_counts_has_missed_anything(self):
        for client in self.clients:
            assert client.missed == []
            for place in client.places:
                assert place.group.position in (None, self.last_ids.get(place.group.channel))

    @invariant()
    def who_has_left_gets_nothing(self):
        for client, count in self.gone:
            assert len(client.got) == count

    def teardown(self):
        while self.clients:
            self.go(0)
        assert not self.registry.names()
        assert not self.registry.count(Item("alerts", meta={"agency": "*"}))


class LimitedAgencies(Agencies):
    def deliver(self, items):
        limits = Limits(per_second=80)
        pairs = [(item, ()) for item in items]
        for _ in fan_out_limited(self.registry, pairs, limits, lambda: 1.0, lambda _item: None):
            pass


TestAgencies = Agencies.TestCase
TestLimitedAgencies = LimitedAgencies.TestCase
TestAgencies.settings = TestLimitedAgencies.settings = settings(
    max_examples=100, stateful_step_count=30
)
