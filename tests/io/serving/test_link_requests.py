from types import SimpleNamespace

import attrs
import pytest
import trio
import trio.testing

from realtime_proxy.backend.response import LocalResponse
from realtime_proxy.errors import BackendError, BackendUnreachable
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.serving.link_requests import MAX_SHARED_BYTES, LinkRequest, LinkRequests
from realtime_proxy.serving.recovery_room import RecoveryRoom

LINK = "http://a/next?from=1"
A, B = Uri.parse("http://a/"), Uri.parse("http://b/")
IDS = ("news; last-id=1",)


class Slow(LocalResponse):
    """A body in pieces, with an end that may be waited for."""

    def __init__(self, *parts, status=200):
        super().__init__(Response(status, Headers()), "backend")
        self.parts = list(parts)
        self.closed = False

    @property
    def complete(self):
        return not self.parts

    def take(self):
        return b""

    async def read(self):
        await trio.lowlevel.checkpoint()
        return self.parts.pop(0)

    def close(self):
        self.closed = True


@attrs.define(eq=False)
class Backend:
    """Stands for an errand: answers when it is told to."""

    changes_requests: bool = False
    asked: list = attrs.field(factory=list)
    answers: list = attrs.field(factory=list)
    held: Uri = A
    route = SimpleNamespace(id="r")

    async def follow(self, method, uri, headers):
        assert method == b"GET"
        self.asked.append((str(uri), headers.get(b"grip-last")))
        answered = trio.Event()
        self.answers.append((answered, box := []))
        await answered.wait()
        if isinstance(box[0], Exception):
            raise box[0]
        return box[0]

    async def answer(self, response, index=-1):
        event, box = self.answers[index]
        box.append(response)
        event.set()
        await trio.testing.wait_all_tasks_blocked()


@attrs.define(eq=False)
class Askers:
    requests: LinkRequests
    nursery: trio.Nursery
    timers: object
    results: dict = attrs.field(factory=dict)
    scopes: dict = attrs.field(factory=dict)

    async def ask(self, name, backend, *, uri=LINK, ids=IDS, asked_at=None, urgent=True):
        at = self.timers.now() if asked_at is None else asked_at
        request = LinkRequest(uri, ids, at, urgent)

        async def work():
            with trio.CancelScope() as self.scopes[name]:
                try:
                    response = await self.requests.fetch(backend, request)
                    body = response.take()
                    while not response.complete:
                        body += await response.read()
                    response.close()
                    self.results[name] = body
                except BackendError as error:
                    self.results[name] = str(error)

        self.nursery.start_soon(work)
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def askers(timers, nursery):
    return Askers(LinkRequests(timers, RecoveryRoom(timers)), nursery, timers)


@pytest.fixture
def backend():
    return Backend()


async def test_the_same_request_is_sent_once(askers, backend, mock_clock):
    for name in "abc":
        await askers.ask(name, backend)
    assert backend.asked == [(LINK, IDS[0].encode())]
    response = Slow(b"1", b"2")
    await backend.answer(response)
    assert askers.results == dict.fromkeys("abc", b"12")
    assert response.closed
    await askers.ask("d", backend)
    assert len(backend.asked) == 2, "an answer is not kept"


@pytest.mark.parametrize(
    "other", [{"uri": LINK + "&x"}, {"ids": ()}, {"ids": ("news; last-id=2",)}]
)
async def test_other_requests_are_sent_themselves(askers, backend, other, mock_clock):
    await askers.ask("a", backend)
    await askers.ask("b", backend, **other)
    assert len(backend.asked) == 2


async def test_who_has_asked_for_something_elsewhere_shares_nothing(askers, backend, mock_clock):
    """The same link may lead one to its route's targets, and another to the host it names."""
    other = Backend(held=B)
    await askers.ask("a", backend)
    await askers.ask("b", other)
    assert (len(backend.asked), len(other.asked)) == (1, 1)


async def test_who_asks_because_of_something_newer_gets_an_answer_of_its_own(
    askers, backend, jump, mock_clock
):
    await askers.ask("a", backend)
    await jump(1)
    await askers.ask("b", backend)
    assert len(backend.asked) == 2
    await askers.ask("c", backend)
    await backend.answer(Slow(b"old"), 0)
    await backend.answer(Slow(b"new"), 1)
    assert askers.results == {"a": b"old", "b": b"new", "c": b"new"}


async def test_who_waits_for_its_turn_is_joined_by_later_ones(askers, backend, jump, mock_clock):
    await askers.ask("a", backend, urgent=False)
    await jump(0.01)
    await askers.ask("b", backend)
    assert backend.asked == []
    await jump(1)
    assert len(backend.asked) == 1
    await backend.answer(Slow(b"x"))
    assert askers.results == {"a": b"x", "b": b"x"}


async def test_nothing_is_shared_where_handlers_change_requests(askers, mock_clock):
    backend = Backend(changes_requests=True)
    await askers.ask("a", backend)
    await askers.ask("b", backend)
    assert len(backend.asked) == 2


async def test_a_failure_is_shared(askers, backend, mock_clock):
    await askers.ask("a", backend)
    await askers.ask("b", backend)
    await backend.answer(BackendUnreachable("nobody there"))
    assert askers.results == dict.fromkeys("ab", "nobody there")


@pytest.mark.parametrize("status", [199, 304, 404, 500])
async def test_only_success_is_an_answer(askers, backend, status, mock_clock):
    await askers.ask("a", backend)
    response = Slow(status=status)
    await backend.answer(response)
    assert askers.results == {"a": f"http://a/next answered {status}"}
    assert response.closed


async def test_when_the_first_asker_leaves_another_asks(askers, backend, mock_clock):
    for name in "abc":
        await askers.ask(name, backend)
    askers.scopes["a"].cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert len(backend.asked) == 2
    await backend.answer(Slow(b"x"))
    assert askers.results == {"b": b"x", "c": b"x"}


async def test_a_long_answer_is_for_its_asker_and_others_ask_themselves(
    askers, backend, mock_clock
):
    for name in "abc":
        await askers.ask(name, backend)
    parts = [b"x" * MAX_SHARED_BYTES, b"y", b"z"]
    await backend.answer(Slow(*parts))
    assert askers.results == {"a": b"".join(parts)}
    assert len(backend.asked) == 3
    for index in (1, 2):
        await backend.answer(Slow(*parts), index)
    assert askers.results == dict.fromkeys("abc", b"".join(parts))


async def test_the_only_asker_gets_its_answer_as_it_comes(askers, backend, mock_clock):
    await askers.ask("a", backend)
    slow = Slow(b"1", b"2")
    await backend.answer(slow)
    assert askers.results == {"a": b"12"}
