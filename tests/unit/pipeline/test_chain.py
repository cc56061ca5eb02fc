"""The chain: order, fail closed, and what each moment may decide."""

from typing import Any

import attrs
import pytest

from realtime_proxy.model.item import Item
from realtime_proxy.pipeline import (
    CONTINUE,
    NOT_MINE,
    Answer,
    BaseHandler,
    CloseWith,
    Drop,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    NoConfig,
    Refuse,
    Renew,
    RequestHead,
    Response,
    ResponseHead,
    WebSocketEvent,
)
from realtime_proxy.pipeline.chain import Chain


class RecordingLogger:
    """Keeps the lines that would be written."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


def make(handler_class: type[BaseHandler], name: str = "tested") -> BaseHandler:
    return handler_class(NoConfig(), HandlerContext(name=name, logger=RecordingLogger()))


def lines_of(handler: BaseHandler) -> list[tuple[str, dict[str, Any]]]:
    logger: RecordingLogger = handler.context.logger
    return logger.lines


def new_exchange() -> Exchange:
    request = RequestHead(b"GET", b"/", Headers([(b"Host", b"example.com")]))
    return Exchange(
        request,
        route_id="the-route",
        scheme="http",
        client_address="192.0.2.1",
        peer_address="192.0.2.1",
    )


def deciding(decision: Any) -> BaseHandler:
    class Deciding(BaseHandler):
        async def on_request(self, exchange: Exchange) -> Any:
            exchange.request.headers.append((b"Seen", str(decision).encode()))
            return decision

    return make(Deciding)


class Raising(BaseHandler):
    """Raises at every moment."""

    async def on_request(self, exchange: Exchange) -> Any:
        raise LookupError("request")

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        raise LookupError("response head")

    def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> Any:
        raise LookupError("websocket event")

    def on_delivery(self, exchange: Exchange, item: Item) -> bool:
        raise LookupError("delivery")

    def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
        raise LookupError("backend request")

    def on_open(self, exchange: Exchange) -> None:
        raise LookupError("open")

    def on_close(self, exchange: Exchange, reason: str) -> None:
        raise LookupError("close")


REFUSAL = Refuse(Response(403, Headers()), why="told to")
ANSWER = Answer(Response(200, Headers(), b"cached"))
EVENT = WebSocketEvent("TEXT", b"hello")


async def test_no_handlers_let_everything_pass() -> None:
    chain = Chain()
    exchange = new_exchange()
    assert await chain.request(exchange) is None
    assert chain.response_head(exchange, ResponseHead(200, b"OK", Headers())) is None
    assert chain.backend_request(exchange, exchange.request) is None
    assert chain.websocket_event(exchange, EVENT) is EVENT
    assert chain.delivery(exchange, Item("news"))
    chain.opened(exchange)
    chain.closed(exchange, "finished")
    assert not chain.has_delivery
    assert not chain.has_websocket_event


@pytest.mark.parametrize("decision", [REFUSAL, ANSWER])
async def test_the_first_refusal_or_answer_ends_the_chain(decision: Any) -> None:
    exchange = new_exchange()
    chain = Chain([deciding(CONTINUE), deciding(NOT_MINE), deciding(decision), deciding(CONTINUE)])
    assert await chain.request(exchange) is decision
    assert len(exchange.request.headers.get_all(b"seen")) == 3


async def test_continue_and_not_mine_go_on() -> None:
    exchange = new_exchange()
    assert await Chain([deciding(CONTINUE), deciding(NOT_MINE)]).request(exchange) is None
    assert len(exchange.request.headers.get_all(b"seen")) == 2


async def test_a_handler_that_raises_at_request_refuses() -> None:
    raising = make(Raising, "broken")
    after = deciding(CONTINUE)
    exchange = new_exchange()
    decision = await Chain([raising, after]).request(exchange)
    assert isinstance(decision, Refuse)
    assert decision.response.status == 500
    assert decision.response.headers.get(b"content-type") == b"text/plain"
    assert b"LookupError" not in decision.response.body
    assert not exchange.request.headers.has(b"seen")
    [(_, fields)] = lines_of(raising)
    assert isinstance(fields.pop("exc_info"), LookupError)
    assert lines_of(raising) == [
        (
            "handler failed",
            {
                "handler": "broken",
                "route": "the-route",
                "moment": "request",
            },
        )
    ]


async def test_a_forgotten_return_refuses() -> None:
    decision = await Chain([deciding(None)]).request(new_exchange())
    assert isinstance(decision, Refuse)
    assert decision.response.status == 500


def test_response_head_and_backend_request_are_changed_in_order() -> None:
    def adding(value: bytes) -> BaseHandler:
        class Adding(BaseHandler):
            def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
                response.headers.append((b"By", value))

            def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
                request.headers.append((b"By", value))

        return make(Adding)

    chain = Chain([adding(b"1"), adding(b"2")])
    exchange = new_exchange()
    response = ResponseHead(200, b"OK", Headers())
    request = RequestHead(b"POST", b"/", Headers())
    assert chain.response_head(exchange, response) is None
    assert chain.backend_request(exchange, request) is None
    assert response.headers == request.headers == [(b"By", b"1"), (b"By", b"2")]


def test_heads_are_for_handlers_that_their_status_concerns() -> None:
    def adding(value: bytes, *statuses: int) -> BaseHandler:
        class Adding(BaseHandler):
            head_statuses = frozenset(statuses) if statuses else None

            def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
                response.headers.append((b"By", value))

        return make(Adding)

    some, every, none = adding(b"some", 101, 403), adding(b"every"), make(BaseHandler)
    for handlers, statuses in (
        ([], ()),
        ([none], ()),
        ([some, none], (101, 403)),
        ([some, every], (101, 200, 403)),
    ):
        chain = Chain(handlers)
        assert [s for s in (101, 200, 403) if chain.may_change_head(s)] == [*statuses]
    for status, by in ((200, [b"every"]), (403, [b"some", b"every"])):
        response = ResponseHead(status, b"", Headers())
        assert chain.response_head(new_exchange(), response) is None
        assert response.headers.get_all(b"by") == by


def test_a_handler_that_raises_at_a_head_refuses() -> None:
    raising = make(Raising)
    exchange = new_exchange()
    chain = Chain([raising])
    refusals = [
        chain.response_head(exchange, ResponseHead(200, b"OK", Headers())),
        chain.backend_request(exchange, exchange.request),
    ]
    assert [refusal.response.status for refusal in refusals if refusal] == [500, 500]
    assert [fields["moment"] for _, fields in lines_of(raising)] == [
        "response head",
        "backend request",
    ]


def eventing(outcome: Any) -> BaseHandler:
    class Eventing(BaseHandler):
        def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> Any:
            return outcome(event) if callable(outcome) else outcome

    return make(Eventing)


def louder(event: WebSocketEvent) -> WebSocketEvent:
    return WebSocketEvent(event.type, event.content + b"!")


def test_websocket_events_are_changed_by_one_handler_after_the_other() -> None:
    chain = Chain([eventing(louder), eventing(louder)])
    assert chain.has_websocket_event
    assert chain.websocket_event(new_exchange(), EVENT) == WebSocketEvent("TEXT", b"hello!!")


@pytest.mark.parametrize("outcome", [Drop.DROP, CloseWith(4001, "enough")])
def test_a_websocket_event_is_dropped_or_ends_the_connection(outcome: Any) -> None:
    chain = Chain([eventing(louder), eventing(outcome), make(Raising)])
    assert chain.websocket_event(new_exchange(), EVENT) == outcome


@pytest.mark.parametrize("handler", [make(Raising), eventing(None)])
def test_a_handler_that_fails_at_a_websocket_event_closes(handler: BaseHandler) -> None:
    assert Chain([handler]).websocket_event(new_exchange(), EVENT) == CloseWith(1011)
    assert [fields["moment"] for _, fields in lines_of(handler)] == ["websocket event"]


def test_any_handler_may_keep_an_item_from_a_connection() -> None:
    class OnlyOdd(BaseHandler):
        def on_delivery(self, exchange: Exchange, item: Item) -> bool:
            return item.id is not None and int(item.id) % 2 == 1

    class OnlyBig(BaseHandler):
        def on_delivery(self, exchange: Exchange, item: Item) -> bool:
            return item.id is not None and int(item.id) > 2

    chain = Chain([make(OnlyOdd), make(OnlyBig)])
    assert chain.has_delivery
    delivered = [i for i in range(6) if chain.delivery(new_exchange(), Item("news", id=str(i)))]
    assert delivered == [3, 5]
    assert chain.delivery_failures == 0


def test_a_handler_that_raises_at_delivery_skips_the_item_and_is_counted() -> None:
    raising = make(Raising)
    chain = Chain([raising])
    assert not chain.delivery(new_exchange(), Item("news"))
    assert not chain.delivery(new_exchange(), Item("news"))
    assert chain.delivery_failures == 2
    assert len(lines_of(raising)) == 2


def test_every_observer_hears_of_open_and_close_whatever_another_raises() -> None:
    heard: list[str] = []

    class Listening(BaseHandler):
        def on_open(self, exchange: Exchange) -> None:
            heard.append("open")

        def on_close(self, exchange: Exchange, reason: str) -> None:
            heard.append(reason)

    raising = make(Raising)
    chain = Chain([raising, make(Listening)])
    chain.opened(new_exchange())
    chain.closed(new_exchange(), "client-gone")
    assert heard == ["open", "client-gone"]
    assert [fields["moment"] for _, fields in lines_of(raising)] == ["open", "close"]


def test_identity_headers_of_all_handlers_are_joined_in_lower_case() -> None:
    class Naming(BaseHandler):
        sets_headers = frozenset({"X-Consumer-ID"})

    class Computing(BaseHandler):
        def __init__(self, config: Any, context: HandlerContext) -> None:
            super().__init__(config, context)
            self.sets_headers = frozenset({"x-claim-sub"})

    assert Chain([make(Naming), make(Computing)]).sets_headers == {"x-consumer-id", "x-claim-sub"}


def test_it_knows_all_headers_that_its_handlers_accept() -> None:
    class Reading(BaseHandler):
        accepts_headers = frozenset({"X-Consumer-Username"})

    chain = Chain([make(Reading)])
    assert chain.accepts_headers == {"x-consumer-username"}
    assert not chain.sets_headers


# -- several credentials ---------------------------------------------------------------------


def finding(identity: Identity | None, name: str) -> BaseHandler:
    class Finding(BaseHandler):
        async def on_request(self, exchange: Exchange) -> Any:
            exchange.identity = identity
            return CONTINUE

    return make(Finding, name)


async def identified(*handlers: BaseHandler) -> Exchange:
    exchange = new_exchange()
    assert await Chain(handlers).request(exchange) is None
    return exchange


@pytest.mark.parametrize(
    ("first", "second", "together"), [(5, 9, 5), (9, 5, 5), (5, None, 5), (None, 5, 5), (None,) * 3]
)
async def test_the_earliest_end_counts(
    first: float | None, second: float | None, together: float | None
) -> None:
    one = Identity("a", expires_at=first, challenge="first")
    other = Identity("b", expires_at=second, challenge="second")
    exchange = await identified(finding(one, "one"), finding(other, "other"))
    assert exchange.identity is not None
    assert (exchange.identity.consumer, exchange.identity.expires_at) == ("b", together)
    assert exchange.identity.challenge == ("first" if first == 5 else "second")
    assert exchange.credentials == {"one": one, "other": other}


async def test_what_came_together_before_is_the_same_again() -> None:
    one, other = Identity("a", expires_at=5), Identity("b")
    chain = Chain([finding(one, "one"), finding(other, "other")])
    exchanges = [new_exchange() for _ in range(2)]
    for exchange in exchanges:
        await chain.request(exchange)
    assert exchanges[0].identity is exchanges[1].identity
    assert exchanges[1].credentials == {"one": one, "other": other}


async def test_no_more_pairs_are_remembered_than_there_is_room_for() -> None:
    class Finding(BaseHandler):
        async def on_request(self, exchange: Exchange) -> Any:
            exchange.identity = Identity("a", expires_at=5)
            return CONTINUE

    chain = Chain([make(Finding, "one"), make(Finding, "other")])
    for _ in range(1_100):
        exchange = new_exchange()
        await chain.request(exchange)
        assert exchange.credentials.keys() == {"one", "other"}
    assert len(chain._joined) == 1_000


async def test_each_credential_may_lapse() -> None:
    counts = {"one": True, "other": True}
    handlers = [
        finding(Identity(name, holds=lambda name=name: counts[name]), name)  # type: ignore[misc]
        for name in counts
    ]
    for lapsed in counts:
        exchange = await identified(*handlers, finding(Identity("last"), "last"))
        assert exchange.identity is not None
        assert not exchange.identity.has_lapsed
        counts[lapsed] = False
        assert exchange.identity.has_lapsed
        counts[lapsed] = True


async def test_an_identity_is_not_taken_back() -> None:
    known = Identity("a", expires_at=5)
    exchange = await identified(finding(known, "one"), finding(None, "other"))
    assert exchange.identity == known


async def test_one_credential_is_left_as_it_is() -> None:
    known = Identity("a", expires_at=5)
    exchange = await identified(finding(known, "one"), deciding(CONTINUE))
    assert exchange.identity is known
    assert exchange.credentials == {}


def test_a_renewal_says_which_handler_means_it() -> None:
    async def identity() -> Identity | None:
        return None

    class Renewing(BaseHandler):
        def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> Any:
            return Renew(identity, lambda _: "")

    outcome = Chain([make(Renewing, "tokens")]).websocket_event(
        new_exchange(), WebSocketEvent("TEXT", b"")
    )
    assert outcome == attrs.evolve(outcome, handler="tokens")
    assert isinstance(outcome, Renew)
    assert outcome.handler == "tokens"


def test_a_chain_knows_its_handlers_by_name() -> None:
    chain = Chain([make(BaseHandler, "one"), make(BaseHandler, "two")])
    assert chain.has("one")
    assert chain.has("two")
    assert not chain.has("three")
