"""Connections to backends: kept, found dead, failed over. Bodies of any size in little memory."""

import contextlib
import socket
import ssl
import threading
from functools import partial

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient, encode_request
from realtime_proxy.testing.scripted_backend import ScriptedBackend

ROUTES = """
[backend]
idle_seconds = {idle}

[[route]]
targets = [{{ url = "{url}" }}]

[[route]]
host = "two"
targets = [{{ url = "{url}" }}, {{ url = "{other}" }}]

[[route]]
host = "failover"
targets = [
    {{ url = "http://127.0.0.1:1" }}, {{ url = "{no_tls}" }}, {{ url = "{other}" }},
    {{ url = "{url}" }},
]
"""

IMPATIENT = """
[backend]
idle_seconds = 0.2

[[route]]
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def other():
    with ScriptedBackend() as backend:
        yield backend


@pytest.fixture(scope="module")
def no_tls():
    """A backend without a certificate, where every TLS handshake fails."""
    with ScriptedBackend(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as backend:
        yield backend


@pytest.fixture(scope="module")
def program(start, backend, other, no_tls):
    return start(ROUTES.format(url=backend.url, other=other.url, no_tls=no_tls.url, idle=60))


@pytest.fixture
def fresh(backend):
    """Every connection to the backend is closed before the test, so that its numbers are plain."""
    backend.close_connections()


def get(connect, path, **options):
    client = connect()
    client.request("GET", path, **options)
    return client.read_reply()


# -- keeping connections -------------------------------------------------------------------------


def test_connection_is_used_again_for_everyone(connect, backend, path):
    for _ in range(3):
        assert get(connect, path).status == 200
    assert len({call.connection_number for call in backend.calls_to(path)}) == 1


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ([("Keep-Alive", "timeout=60, max=100")], True),
        ([("Keep-Alive", "timeout=1")], False),
        ([("Keep-Alive", "max=5,timeout=0")], False),
        ([("Connection", "close")], False),
        ([("Connection", "Keep-Alive, Close")], False),
    ],
)
def test_connection_is_kept_as_its_backend_says(connect, backend, path, fields, is_kept):
    backend.scripts[path] = lambda call: call.respond(fields=fields)
    for _ in range(2):
        assert get(connect, path).status == 200
    first, second = backend.calls_to(path)
    assert (first.connection_number == second.connection_number) == is_kept


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokextra",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nextra",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_connection_with_more_than_a_response_is_not_kept(connect, backend, path, answer):
    backend.scripts[path] = lambda call: call.send(answer)
    assert get(connect, path).body == b"ok"
    backend.scripts[path] = lambda call: call.respond(body=b"mine")
    assert get(connect, path).body == b"mine"
    first, second = backend.calls_to(path)
    assert first.connection_number != second.connection_number


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_body_where_there_may_be_none(connect, backend, path, method):
    """What looks like a body after a response without one is never the next response."""
    status = 200 if method == "HEAD" else 304
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    backend.scripts[path] = lambda call: call.send(
        b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(evil), evil)
    )
    client = connect()
    client.request(method, path)
    assert client.read_reply(to=method).status == status
    backend.scripts[path] = lambda call: call.respond(body=b"mine")
    client.request("GET", path)
    assert client.read_reply().body == b"mine"


def test_response_that_nobody_asked_for(connect, backend, path):
    late = threading.Event()

    def script(call):
        call.respond(body=b"ok")
        late.wait(DEADLINE_SECONDS)
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    backend.scripts[path] = script
    assert get(connect, path).body == b"ok"
    late.set()
    backend.wait_for(path).wait_until_answered()
    backend.scripts[path] = lambda call: call.respond(body=b"mine")
    assert get(connect, path).body == b"mine"


def test_idle_connections_are_closed_in_time(start):
    with ScriptedBackend() as backend:
        program = start(IMPATIENT.format(url=backend.url))
        with RawClient(program.address) as client:
            client.request("GET", "/")
            assert client.read_reply().status == 200
            backend.wait_until_closed()


# -- connections that turn out to be dead --------------------------------------------------------


def test_connection_closed_while_idle(connect, backend, path):
    """The end that is already here is seen, so even a POST goes through."""

    def script(call):
        call.respond()
        call.close()

    backend.scripts[path] = script
    assert get(connect, path).status == 200
    backend.wait_for(path).wait_until_answered()
    client = connect()
    client.request("POST", path, body=b"once")
    assert client.read_reply().status == 200
    assert len(backend.calls_to(path)) == 2


def dies_when_used_again(call):
    """The first request of a connection is answered, the second kills it."""
    call.body  # noqa: B018  read, so that the connection ends in an orderly way
    if call.connection_number in dies_when_used_again.seen:
        call.close()
    else:
        dies_when_used_again.seen.add(call.connection_number)
        call.respond(body=b"answered")


dies_when_used_again.seen = set()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.usefixtures("fresh")
def test_request_that_may_be_repeated(connect, backend, path, method):
    backend.scripts[path] = dies_when_used_again
    assert get(connect, path).status == 200
    client = connect()
    client.request(method, path, body=b"body" if method == "PUT" else None)
    assert client.read_reply(to=method).status == 200
    assert [call.method for call in backend.calls_to(path)] == ["GET", method, method]
    assert {call.body for call in backend.calls_to(path)[1:]} == {
        b"body" if method == "PUT" else b""
    }


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.usefixtures("fresh")
def test_request_that_may_not_be_repeated(connect, backend, path, method):
    backend.scripts[path] = dies_when_used_again
    assert get(connect, path).status == 200
    client = connect()
    client.request(method, path, body=b"body")
    assert client.read_reply().status == 502
    assert [call.method for call in backend.calls_to(path)] == ["GET", method]


@pytest.mark.usefixtures("fresh")
def test_request_is_repeated_once(connect, backend, path):
    def script(call):
        if len(backend.calls_to(path)) == 1:
            call.respond()
        else:
            call.close()

    backend.scripts[path] = script
    assert get(connect, path).status == 200
    assert get(connect, path).status == 502
    assert len(backend.calls_to(path)) == 3


@pytest.mark.usefixtures("fresh")
def test_request_is_not_repeated_once_a_response_began(connect, backend, path):
    def script(call):
        if len(backend.calls_to(path)) == 1:
            call.respond()
        else:
            call.send(b"HTTP/1.1 200")
            call.close()

    backend.scripts[path] = script
    assert get(connect, path).status == 200
    assert get(connect, path).status == 502
    assert len(backend.calls_to(path)) == 2


# -- several targets -----------------------------------------------------------------------------


def test_first_target_gets_everything(connect, backend, other, path):
    for _ in range(3):
        assert get(connect, path, host="two").status == 200
    assert (len(backend.calls_to(path)), len(other.calls_to(path))) == (3, 0)


def test_targets_are_tried_in_order(connect, backend, other, path):
    client = connect()
    for chunked in (False, True):
        if chunked:
            client.request("POST", path, [("Transfer-Encoding", "chunked")], host="failover")
            client.send_chunk(b"x" * 50_000)
            client.send_chunk(b"")
        else:
            client.request("POST", path, body=b"x" * 50_000, host="failover")
        assert client.read_reply().status == 200
    assert [len(call.body) for call in other.calls_to(path)] == [50_000, 50_000]
    assert not backend.calls_to(path)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_answer_of_the_first_target_is_the_answer(connect, backend, other, path, status):
    backend.scripts[path] = lambda call: call.respond(status)
    assert get(connect, path, host="two").status == status
    assert not other.calls_to(path)


def test_no_other_target_for_a_request_that_was_sent(connect, backend, other, path):
    backend.scripts[path] = lambda call: call.close()
    assert get(connect, path, host="two").status == 502
    assert not other.calls_to(path)


# -- large bodies --------------------------------------------------------------------------------

BODY_BYTES = 200_000_000
PART = b"x" * 1_000_000
MEMORY_BYTES = 30_000_000


def serve_others(connect, path):
    """Serve a good many other requests: time enough for whoever wants to read ahead."""
    client = connect()
    for _ in range(200):
        client.request("GET", path)
        assert client.read_reply().status == 200


def test_large_response_to_a_slow_reader(connect, backend, program, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES)
        for _ in range(BODY_BYTES // len(PART)):
            call.send(PART)

    backend.scripts[path] = script
    client = connect(receive_buffer_bytes=65_536)
    program.forget_peak()
    before = program.memory_bytes
    client.request("GET", path)
    client.read_head()
    serve_others(connect, "/other")
    assert not backend.wait_for(path).answered.is_set()
    client.skip(BODY_BYTES)
    assert program.peak_memory_bytes - before < MEMORY_BYTES


def test_large_responses_at_once_do_not_mix(connect, backend, program, path):
    """All of them pass through the same room, to clients that keep up and to one that does not."""
    names = "abcd"
    for name in names:
        body = name.encode() * 5_000_000
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        backend.scripts[path + name] = partial(_answer, head + body)
    clients = [connect(receive_buffer_bytes=65_536 if name == "a" else None) for name in names]
    for client, name in zip(clients, names, strict=True):
        client.request("GET", path + name)
    for client in clients[1:] + clients[:1]:
        client.body = client.read_reply().body
    assert [set(client.body) for client in clients] == [{ord(name)} for name in names]
    assert {len(client.body) for client in clients} == {5_000_000}


def _answer(data, call):
    call.send(data)


def test_large_request_to_a_slow_reader(connect, program, backend, path):
    go_on = threading.Event()

    def script(call):
        go_on.wait(DEADLINE_SECONDS)
        size = 0
        while part := call.read_some():
            size += len(part)
        call.respond(body=str(size).encode())

    backend.scripts[path] = script
    client = connect()
    program.forget_peak()
    before = program.memory_bytes

    def upload():
        client.request("POST", path, [("Content-Length", str(BODY_BYTES))])
        for _ in range(BODY_BYTES // len(PART)):
            client.send(PART)

    uploader = threading.Thread(target=upload)
    uploader.start()
    backend.wait_for(path)
    serve_others(connect, "/other")
    assert uploader.is_alive(), "everything is gone, but the backend has read nothing"
    go_on.set()
    assert client.read_reply().body == str(BODY_BYTES).encode()
    uploader.join()
    assert program.peak_memory_bytes - before < MEMORY_BYTES


# -- fairness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", ["requests", "upload"])
def test_flood_of_one_client_leaves_time_for_others(connect, program, backend, path, flood):
    """A client that always has more to be done is not served to the end first."""
    stop = threading.Event()
    flooding = connect()
    if flood == "requests":
        part = encode_request("GET", "/", [("Upgrade", "websocket")]) * 500
    else:
        backend.scripts["/flood"] = lambda call: call.respond(body=call.body[:0])
        flooding.request("POST", "/flood", [("Content-Length", str(10**15))])
        part = PART

    def send():
        with contextlib.suppress(OSError):  # the end of the test cuts it off
            while not stop.is_set():
                flooding.send(part)

    def receive():
        with contextlib.suppress(OSError):
            while flooding.socket.recv(1_000_000):
                pass

    threads = [threading.Thread(target=send)]
    if flood == "requests":
        threads.append(threading.Thread(target=receive))
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert get(connect, path).status == 200
    finally:
        stop.set()
        flooding.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
