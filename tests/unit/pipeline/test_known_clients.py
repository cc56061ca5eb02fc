"""Clients are known by their credentials, for as long as these count and say the same."""

import time
from typing import Any

import attrs
import pytest

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    BaseHandler,
    Consumer,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    NoConfig,
    Refuse,
    RequestHead,
    Response,
    SoleCredential,
    identity_headers,
    pass_as,
)
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.wire.http1_rules import encode_head, known

KEY = (b"Key", b"alices")


class Asked(BaseHandler):
    """Knows everybody by `header`, and counts how often it is asked."""

    sets_headers = IDENTITY_HEADER_NAMES

    def __init__(self, header: str = "key", name: str = "asked", **identity: Any) -> None:
        super().__init__(NoConfig(), HandlerContext(name, logger=None))
        self.sole_credential = SoleCredential(header, frozenset(("token",)))
        self.identity = identity
        self.times = 0

    async def on_request(self, exchange: Exchange) -> Decision:
        self.times += 1
        values = exchange.request.headers.get_all(self.sole_credential.header.encode())
        if values == [b"wrong"]:
            return Refuse(Response(401, Headers()), why="wrong")
        consumer = Consumer(b",".join(values).decode(), groups=("g",))
        identity = Identity(consumer.username, groups=consumer.groups, **self.identity)
        pass_as(exchange, identity, identity_headers(consumer, identity))
        return CONTINUE


class Further(BaseHandler):
    """Looks at more than credentials."""

    def __init__(self) -> None:
        super().__init__(NoConfig(), HandlerContext("further", logger=None))
        self.saw: list[Any] = []

    async def on_request(self, exchange: Exchange) -> Decision:
        named = exchange.request.headers.get(b"x-consumer-username")
        self.saw.append((exchange.identity, named))
        return CONTINUE


class Changing(Further):
    """Changes fields in place."""

    async def on_request(self, exchange: Exchange) -> Decision:
        exchange.request.headers.append((b"X", b"changed"))
        return CONTINUE


def new_exchange(*fields: tuple[bytes, bytes], **more: Any) -> Exchange:
    head = RequestHead(b"GET", more.pop("target", b"/"), Headers((*fields, (b"Host", b"a"))))
    return Exchange(head, "r", more.pop("scheme", "http"), "192.0.2.1", **more)


async def asked(chain: Chain, *fields: tuple[bytes, bytes], **more: Any) -> Exchange:
    exchange = new_exchange(*fields, **more)
    assert await chain.request(exchange) is None
    return exchange


async def test_who_is_known_is_not_asked_about_again() -> None:
    handler = Asked(expires_at=time.time() + 60)
    chain = Chain([handler])
    first = await asked(chain, KEY)
    again = await asked(chain, (b"X", b"other field"), KEY, target=b"/other?a=b")
    assert handler.times == 1
    assert again.identity is first.identity
    told = [(b"X-Consumer-Username", b"alices")]
    assert again.request.headers == [(b"X", b"other field"), KEY, (b"Host", b"a"), *told]
    assert (await asked(chain, (b"KEY", b"bobs"))).identity.consumer == "bobs"
    assert handler.times == 2


async def test_several_are_known_together() -> None:
    one, other = Asked(name="one", expires_at=5e9), Asked("token", "other", expires_at=4e9)
    further = Further()
    chain = Chain([one, other, further])
    fields = KEY, (b"Token", b"t")
    first, again = [await asked(chain, *fields) for _ in range(2)]
    assert (one.times, other.times) == (1, 1)
    assert again == attrs.evolve(first)
    assert again.credentials.keys() == {"one", "other"}
    assert (again.identity.consumer, again.identity.expires_at) == ("t", 4e9)
    assert again.request.headers.get_all(b"x-consumer-username") == [b"t"]
    assert further.saw == [(again.identity, b"t")] * 2
    await asked(chain, KEY, (b"Token", b"u"))
    await asked(chain, (b"Key", b"bobs"), (b"Token", b"t"))
    assert (one.times, other.times) == (3, 3)


async def test_fields_that_messages_share_are_added_to_once() -> None:
    handler, further = Asked(), Changing()
    chain, changing = Chain([handler]), Chain([handler, further])
    came = known(Headers((KEY, (b"Host", b"a"))))
    told = (b"X-Consumer-Username", b"alices")

    async def passed(chain: Chain) -> Headers:
        exchange = Exchange(RequestHead(b"GET", b"/", came), "r", "http", "192.0.2.1")
        assert await chain.request(exchange) is None
        return exchange.request.headers

    first, second, third = [await passed(chain) for _ in range(3)]
    assert first == second == [*came, told]
    assert second is third
    assert encode_head(b"GET / HTTP/1.1", third) == encode_head(b"GET / HTTP/1.1", first)
    assert [await passed(changing) for _ in range(3)] == [[*came, told, (b"X", b"changed")]] * 3
    assert await passed(chain) == [*came, told]
    assert came == [KEY, (b"Host", b"a")]


async def test_a_later_handler_may_find_out_more_of_who_is_known() -> None:
    class Later(Further):
        async def on_request(self, exchange: Exchange) -> Decision:
            exchange.identity = Identity("later", expires_at=9.0)
            return CONTINUE

    chain = Chain([Asked(expires_at=5e9), Later()])
    for _ in range(2):
        exchange = await asked(chain, KEY)
        assert (exchange.identity.consumer, exchange.identity.expires_at) == ("later", 9.0)
        assert exchange.credentials.keys() == {"asked", "further"}


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ((), {}),
        ((KEY, KEY), {}),
        ((KEY,), {"scheme": "ws"}),
        ((KEY,), {"scheme": "wss"}),
        ((KEY,), {"is_recheck": True}),
        ((KEY,), {"identity": Identity("somebody")}),
        ((KEY,), {"target": b"/?token=a"}),
        ((KEY,), {"target": b"/?%74oken=a"}),
        ((KEY,), {"target": b"/?to+ken=a"}),
    ],
)
async def test_requests_that_more_decides_about(fields: Any, more: dict[str, Any]) -> None:
    handler = Asked()
    chain = Chain([handler])
    for times in range(1, 4):
        await asked(chain, *fields, **more)
        assert handler.times == times
    await asked(chain, KEY)
    assert handler.times == 4


async def test_who_is_refused_is_not_known() -> None:
    handler = Asked()
    chain = Chain([handler])
    for times in range(1, 3):
        assert await chain.request(new_exchange((b"Key", b"wrong"))) is not None
        assert handler.times == times


@pytest.mark.parametrize("which", ["holds", "is_current"])
@pytest.mark.parametrize("first", [False, True])
async def test_what_counts_no_more_is_asked_about(which: str, first: bool) -> None:
    counts = [True]
    one = Asked(name="one", **{which: lambda: counts[0]} if first else {})
    other = Asked("token", "other", **{} if first else {which: lambda: counts[0]})
    chain = Chain([one, other])
    fields = KEY, (b"Token", b"t")
    for _ in range(2):
        await asked(chain, *fields)
    assert other.times == 1
    counts[0] = False
    for times in (2, 3):
        await asked(chain, *fields)
        assert (one.times, other.times) == (times, times)


async def test_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, now = Asked(expires_at=1000.0), [999.9]
    monkeypatch.setattr(time, "time", lambda: now[0])
    chain = Chain([handler])
    for _ in range(2):
        await asked(chain, KEY)
    assert handler.times == 1
    now[0] = 1000.0
    await asked(chain, KEY)
    assert handler.times == 2


def _note(exchange: Exchange) -> None:
    exchange.notes = {"a": 1}


def _give_id(exchange: Exchange) -> None:
    exchange.connection_id = "a"


def _hide(exchange: Exchange) -> None:
    exchange.request.headers = exchange.request.headers.without({b"key"})


def _move(exchange: Exchange) -> None:
    exchange.request.target = b"/moved"


def _tell(exchange: Exchange) -> None:
    exchange.request.headers.append((b"X-Undeclared", b"a"))


def _stand_in(exchange: Exchange) -> None:
    exchange.identity = Identity("guest", anonymous=True)


def _forget(exchange: Exchange) -> None:
    exchange.identity = None


@pytest.mark.parametrize("more", [_note, _give_id, _hide, _move, _tell, _stand_in, _forget])
async def test_where_more_comes_of_it_nobody_is_known(more: Any) -> None:
    class DoingMore(Asked):
        async def on_request(self, exchange: Exchange) -> Decision:
            decision = await super().on_request(exchange)
            more(exchange)
            return decision

    handler = DoingMore()
    chain = Chain([handler])
    first, again = [await asked(chain, KEY) for _ in range(2)]
    assert handler.times == 2
    assert again == first


async def test_nobody_is_known_where_clients_may_send_what_handlers_say() -> None:
    class Undeclared(Asked):
        sets_headers = frozenset(("x-consumer-username",))

    class Accepting(Further):
        accepts_headers = frozenset(("x-consumer-username",))

    for handlers in ([Undeclared()], [Asked(), Accepting()]):
        chain = Chain(handlers)
        await asked(chain, KEY)
        exchange = await asked(chain, KEY, (b"X-Consumer-Custom-ID", b"forged"))
        assert not exchange.request.headers.has(b"x-consumer-custom-id")
        assert handlers[0].times == 2


async def test_nobody_is_known_where_a_gateway_may_send_what_handlers_take_away() -> None:
    class TakingAway(Asked):
        sets_headers = IDENTITY_HEADER_NAMES | {"x-agency"}

        async def on_request(self, exchange: Exchange) -> Decision:
            exchange.request.headers = exchange.request.headers.without((b"x-agency",))
            return await super().on_request(exchange)

    class Accepting(Further):
        accepts_headers = frozenset(("x-agency",))

    chain = Chain([TakingAway(), Accepting()])
    await asked(chain, KEY)
    exchange = await asked(chain, KEY, (b"X-Agency", b"theirs"))
    assert not exchange.request.headers.has(b"x-agency")


async def test_only_the_first_are_spared() -> None:
    last = Asked("token", "last")
    further = Further()
    chain = Chain([further, last])
    for _ in range(2):
        await asked(chain, KEY, (b"Token", b"t"))
    assert (len(further.saw), last.times) == (2, 2)


async def test_who_looks_at_the_identity_alone_needs_no_header() -> None:
    one, other = Asked(), Asked("", "other")
    alone = Chain([other])
    chain = Chain([one, other])
    for _ in range(2):
        await asked(alone, KEY)
    assert other.times == 2  # without any credential there is nobody to know
    assert not alone._known.handlers
    for _ in range(2):
        await asked(chain, KEY)
    assert (one.times, other.times) == (1, 3)


async def test_credentials_are_never_mixed_up() -> None:
    one, other = Asked(name="one"), Asked("token", "other")
    chain = Chain([one, other])
    for key, token in ((b"a\0b", b"c"), (b"a", b"b\0c"), (b"a\0b", b"c")):
        exchange = await asked(chain, (b"Key", key), (b"Token", token))
        assert exchange.identity.consumer == token.decode()
    assert other.times == 3


async def test_the_oldest_makes_room_and_nothing_of_credentials_is_kept() -> None:
    handler = Asked()
    handler.sole_credential = SoleCredential("key", most=2)
    chain = Chain([handler])
    for key in (b"first", b"second", b"third", b"third", b"second", b"first"):
        await asked(chain, (b"Key", key))
    assert handler.times == 4
    assert len(chain._known) == 2
    assert not {b"first", b"second", b"third"}.intersection(chain._known._kept)
