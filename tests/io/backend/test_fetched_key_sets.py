"""Key sets that are fetched: once for all, kept while they are fetched anew, not too often."""

import json

import pytest
import trio
import trio.testing

from realtime_proxy.backend.fetched_key_sets import FetchedKeySets
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.http_client import HttpCallError
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.pipeline.key_set import KeySource, KeysUnavailable
from realtime_proxy.testing.tokens import jwk, signed

SOURCE = KeySource("https://a/keys", ("RS256",), refresh_seconds=600, retry_seconds=10)
OLD = JwtToken.parse(signed({}, kid="old"))
NEW = JwtToken.parse(signed({}, kid="new"))


def published(*kids):
    return json.dumps({"keys": [jwk(kid=kid) for kid in kids]}).encode()


class Server:
    """Answers with what is published; waits until it is told to, if it is to be slow."""

    def __init__(self):
        self.asked = []
        self.answers = {"https://a/keys": published("old")}
        self.is_slow = False
        self.go_on = trio.Event()

    async def ask(self, method, url, headers=Headers(), body=b"", **options):  # noqa: B008
        self.asked.append(url)
        if self.is_slow:
            await self.go_on.wait()
        answer = self.answers.get(url)
        if answer is None:
            raise HttpCallError(f"{url}: refused")
        if isinstance(answer, int):
            return Response(answer, Headers())
        return Response(200, Headers(), answer)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def key_sets(server):
    return FetchedKeySets(server)


async def test_it_is_fetched_once_for_all_who_wait(key_sets, server, nursery):
    server.is_slow = True
    found = []

    async def ask():
        found.append(await key_sets.for_token(SOURCE, OLD))

    for _ in range(3):
        nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    assert key_sets.at_hand(SOURCE) is None
    server.go_on.set()
    await trio.testing.wait_all_tasks_blocked()
    assert len(found) == 3
    assert len(server.asked) == 1
    assert key_sets.at_hand(SOURCE) is found[0]


async def test_an_unknown_key_has_it_fetched_but_not_too_often(key_sets, server, mock_clock):
    await key_sets.for_token(SOURCE, OLD)
    server.answers[SOURCE.url] = published("new")
    assert not (await key_sets.for_token(SOURCE, NEW)).knows(NEW)  # too soon after the last time
    mock_clock.jump(10)
    assert (await key_sets.for_token(SOURCE, NEW)).has_signed(NEW)
    assert len(server.asked) == 2
    for _ in range(5):  # by now the old one is the unknown
        assert not (await key_sets.for_token(SOURCE, OLD)).knows(OLD)
    assert len(server.asked) == 2


async def test_what_is_known_stays_when_it_can_not_be_fetched(key_sets, server, mock_clock):
    await key_sets.for_token(SOURCE, OLD)
    server.answers[SOURCE.url] = 500
    mock_clock.jump(1_000)
    assert not (await key_sets.for_token(SOURCE, NEW)).knows(NEW)
    assert (await key_sets.for_token(SOURCE, OLD)).has_signed(OLD)


@pytest.mark.parametrize("answer", [None, 404, b"{", b'{"keys": []}'])
async def test_nothing_is_known_yet(key_sets, server, answer, mock_clock):
    server.answers[SOURCE.url] = answer
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await key_sets.for_token(SOURCE, OLD)
    assert len(server.asked) == 1
    server.answers[SOURCE.url] = published("old")
    mock_clock.jump(10)
    assert (await key_sets.for_token(SOURCE, OLD)).has_signed(OLD)


async def test_who_leaves_leaves_it_to_the_next(key_sets, server):
    server.is_slow = True
    with trio.move_on_after(0.01):
        await key_sets.for_token(SOURCE, OLD)
    server.is_slow = False
    assert (await key_sets.for_token(SOURCE, OLD)).has_signed(OLD)


async def test_the_configuration_of_the_issuer_says_where(server):
    source = KeySource("https://a/.well-known/x", ("RS256",), discovers=True)
    server.answers[source.url] = json.dumps({"jwks_uri": "https://a/keys"}).encode()
    assert (await FetchedKeySets(server).for_token(source, OLD)).has_signed(OLD)
    for wrong in (b"{", b"[]", b"{}", b'{"jwks_uri": "http://a/keys"}'):
        server.answers[source.url] = wrong
        with pytest.raises(KeysUnavailable):
            await FetchedKeySets(server).for_token(source, OLD)


async def test_it_is_kept_fresh(key_sets, server, nursery, autojump_clock):
    nursery.start_soon(key_sets.keep_fresh, SOURCE)
    await trio.sleep(599)
    assert len(server.asked) == 1
    server.answers[SOURCE.url] = 500
    await trio.sleep(2)
    assert len(server.asked) == 2
    assert key_sets.at_hand(SOURCE) is not None  # stale, and better than none
    server.answers[SOURCE.url] = published("new")
    await trio.sleep(10)
    assert len(server.asked) == 3
    assert key_sets.at_hand(SOURCE).knows(NEW)
    nursery.cancel_scope.cancel()
