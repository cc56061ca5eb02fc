"""Requests of filters: how many go out, how long they may take, and what a failure is called."""

import ssl

import attrs
import pytest
import trio

from realtime_proxy.backend.response import LocalResponse
from realtime_proxy.errors import (
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
    FilterError,
    ProtocolError,
)
from realtime_proxy.grip.http_filter import MAX_CONTENT_BYTES, FilterReply, FilterRequest
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.filter_requests import TIMEOUT_SECONDS, FilterRequests

ACTION = Headers([(b"Action", b"drop")])


@attrs.define
class Asked:
    """Stands in for an errand: notes what is asked when, and answers or fails as it is told."""

    held: Uri = attrs.field(factory=lambda: Uri.parse("http://a.test/held/here"))
    answer: Response = attrs.field(factory=lambda: Response(200, ACTION, b"body"))
    failure: Exception | None = None
    hangs: bool = False
    calls: list[tuple[float, bytes, str, bytes]] = attrs.field(factory=list)

    async def ask(self, method, uri, headers, body=b""):
        self.calls.append((trio.current_time(), method, str(uri), body))
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.failure is not None:
            raise self.failure
        return LocalResponse(self.answer, "a.test")


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture
def requests(nursery):
    timers = Timers()
    nursery.start_soon(timers.run)
    return FilterRequests(timers)


def request(url="filter", body=b"content"):
    return FilterRequest(url, Headers(), body)


async def test_a_reply(requests, asked):
    assert await requests.ask(asked, request()) == FilterReply(200, b"drop", b"body")
    [(_, *call)] = asked.calls
    assert call == [b"POST", "http://a.test/held/filter", b"content"]


async def test_a_body_over_the_limit_is_not_read_to_its_end(requests, asked):
    asked.answer = Response(200, Headers(), b"x" * (MAX_CONTENT_BYTES + 1))
    assert len((await requests.ask(asked, request())).body) > MAX_CONTENT_BYTES


@pytest.mark.parametrize("url", ["//:0", "ftp://a.test/", "http://[", "a\r\nb"])
async def test_urls_that_are_none(requests, asked, url):
    with pytest.raises(FilterError, match=r"^invalid url value$"):
        await requests.ask(asked, request(url))
    assert asked.calls == []


async def test_nothing_to_go_by(requests):
    with pytest.raises(FilterError, match=r"^invalid url value$"):
        await requests.ask(None, request("http://a.test/"))


def unreachable(cause):
    error = BackendUnreachable("x")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (unreachable(ConnectionRefusedError()), "connection refused"),
        (unreachable(ssl.SSLError()), "tls error"),
        (BackendUnreachable("x", timed_out=True), "connection timed out"),
        (BackendTimeout("x"), "request timed out"),
        (BackendMisbehaved("x"), "disconnected"),
        (ProtocolError(500, "x"), "general error"),
    ],
)
async def test_failures_by_their_names(requests, asked, failure, words):
    asked.failure = failure
    with pytest.raises(FilterError, match=f"^network request failed: {words}$"):
        await requests.ask(asked, request())


async def test_no_answer_in_time(requests, asked, autojump_clock):
    asked.hangs = True
    began = trio.current_time()
    with pytest.raises(FilterError, match=r"^network request failed: request timed out$"):
        await requests.ask(asked, request())
    assert trio.current_time() - began == pytest.approx(TIMEOUT_SECONDS, abs=0.5)


async def test_at_most_a_hundred_go_out_in_a_second(requests, asked, nursery, autojump_clock):
    for _ in range(250):
        nursery.start_soon(requests.ask, asked, request())
    began = trio.current_time()
    await trio.sleep(10)
    moments = [at - began for at, *_ in asked.calls]
    assert len(moments) == 250
    assert max(moments) < 4
    for moment in moments:
        assert sum(moment <= other < moment + 0.95 for other in moments) <= 100


async def test_urls_take_turns(requests, asked, nursery, autojump_clock):
    for _ in range(100):
        nursery.start_soon(requests.ask, asked, request("many"))
    nursery.start_soon(requests.ask, asked, request("one"))
    await trio.sleep(10)
    urls = [url for _, _, url, _ in asked.calls]
    assert urls.index("http://a.test/held/one") <= 20


async def test_who_is_cancelled_takes_no_turn(requests, asked, nursery, autojump_clock):
    for _ in range(10):
        await requests.ask(asked, request())
    with trio.move_on_after(0.01) as scope:
        await requests.ask(asked, request("gone"))
    assert scope.cancelled_caught
    await requests.ask(asked, request("next"))
    assert [url.rpartition("/")[2] for _, _, url, _ in asked.calls[10:]] == ["next"]
