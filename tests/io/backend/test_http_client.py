"""What handlers ask others with: answers as they are, and one error for all that fails."""

import ssl

import pytest
import trio
import trio.testing

from realtime_proxy.backend.http_client import PooledHttpClient
from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.http_client import HttpCallError


@pytest.fixture
def client(pool):
    return PooledHttpClient(BackendCaller(pool))


def url(backend, target="/a", scheme="http"):
    return f"{scheme}://127.0.0.1:{backend.origin.port}{target}"


def answering(answer, seen=None, body_bytes=0):
    async def script(peer):
        while True:
            request = await peer.request(body_bytes)
            if seen is not None:
                seen.append(request)
            await peer.send(answer)

    return script


async def test_a_question_and_its_answer(client, backend, pool):
    seen = []
    answer = b"HTTP/1.1 403 No\r\nX-Why: so\r\nContent-Length: 2\r\n\r\nno"
    backend.scripts = [answering(answer, seen, 3)]
    headers = Headers([(b"X-A", b"1"), (b"Host", b"evil"), (b"Connection", b"X-B"), (b"X-B", b"2")])
    response = await client.ask("POST", url(backend, "/a?b=c"), headers, b"abc")
    assert (response.status, response.reason, response.body) == (403, b"No", b"no")
    assert response.headers.get(b"x-why") == b"so"
    [(head, body)] = seen
    assert head.split(b"\r\n") == [
        b"POST /a?b=c HTTP/1.1",
        b"Host: 127.0.0.1:%d" % backend.origin.port,
        b"X-A: 1",
        b"Content-Length: 3",
    ]
    assert body == b"abc"
    assert "1}" in repr(pool)  # the connection is kept


async def test_a_redirect_is_an_answer(client, backend):
    seen = []
    answer = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    backend.scripts = [answering(answer, seen)]
    assert (await client.ask("GET", url(backend))).status == 302
    assert len(seen) == 1


async def test_a_body_has_a_limit_and_its_connection_ends(client, backend):
    backend.scripts = [
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nabcde\r\n" * 3)
    ]
    with pytest.raises(HttpCallError, match="more than 10 bytes"):
        await client.ask("GET", url(backend), max_body_bytes=10)
    with trio.fail_after(10):
        await backend.ended.wait()


async def test_the_time_is_for_all_of_it(client, backend):
    async def drip(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na")
        await peer.ended()

    backend.scripts = [drip]
    with pytest.raises(HttpCallError, match=r"/a: no answer in 0\.2 s"):
        await client.ask("GET", url(backend, "/a?token=secret"), timeout_seconds=0.2)
    with trio.fail_after(10):
        await backend.ended.wait()


async def test_nobody_there_is_told_without_the_query(client, backend):
    with pytest.raises(HttpCallError) as caught:
        await client.ask("GET", "http://127.0.0.1:1/a?token=secret")
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "ftp://127.0.0.1/", []),
        ("GET", "http://user@127.0.0.1/", []),
        ("GET /x HTTP/1.1\r\n", "http://127.0.0.1/", []),
        ("GET", "http://127.0.0.1/", [(b"X-A", b"1\r\nX-B: 2")]),
        ("GET", "http://127.0.0.1/", [(b"X-A: 1\r\nX-B", b"2")]),
    ],
)
async def test_what_can_not_be_sent_is_not(client, method, target, headers):
    with pytest.raises(HttpCallError, match="can't be asked"):
        await client.ask(method, target, Headers(headers))


async def test_a_certificate_is_checked(client, backend, authority):
    backend.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(backend.tls)
    with pytest.raises(HttpCallError, match="certificate"):
        await client.ask("GET", url(backend, scheme="https"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    assert (await client.ask("GET", url(backend, scheme="https"), tls=trusting)).body == b"ok"
