"""SockJS sessions with two workers: requests of a session come to either, and nobody can tell."""

import itertools
import json
import os
import signal
import ssl
import time

import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient, encode_request
from realtime_proxy.testing.reserved_ports import reserved_ports

# So many of each that both workers have some, and hand some over: one in a million runs.
MANY = 20

ROUTES = """
[admin]
listen = "127.0.0.1:{admin}"

[[route]]
path = "/sock"
sockjs = "/sock"
handlers = ["log"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
targets = [{{ url = "{url}" }}]

[handler.log]
use = "access_log"
headers = ["x-n"]
"""
TLS = """
[[server.tls]]
listen = "127.0.0.1:{port}"
certificate = "{folder}/site.pem"
key = "{folder}/site.key"
client_ca = "{folder}/ca.pem"
"""
_SESSIONS = itertools.count()


def echo(call):
    """Echo messages, and begin with the address that the client is said to have."""
    if call.get("content-type") != CONTENT_TYPE:
        call.respond(body=call.body + b" of " + call.target.encode())
        return
    out = []
    for kind, content in read_events(call.body):
        if kind == "OPEN":
            out += ["OPEN", ("TEXT", (call.get("x-forwarded-proto") or "none").encode())]
        elif kind == "TEXT":
            out.append((kind, content))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=write_events(*out))


@pytest.fixture(autouse=True)
def _echo(backend):
    backend.answer = echo


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ports():
    """One for TLS, one for operators."""
    with reserved_ports(2) as ports:
        return ports


@pytest.fixture(scope="module")
def secure_port(ports):
    return ports[0]


@pytest.fixture(scope="module")
def program(start, backend, authority, tmp_path_factory, ports):
    folder = tmp_path_factory.mktemp("tls")
    site = authority.issue_cert("localhost")
    site.cert_chain_pems[0].write_to_path(folder / "site.pem")
    site.private_key_pem.write_to_path(folder / "site.key")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    tls = TLS.format(port=ports[0], folder=folder)
    routes = ROUTES.format(url=backend.url, admin=ports[1])
    program = start(routes, server="workers = 2\n" + tls)
    program.admin = ("127.0.0.1", ports[1])
    program.wait_for_log("serving ")
    return program


@pytest.fixture
def own(start_own, backend):
    with reserved_ports(1) as (admin,):
        routes = ROUTES.format(url=backend.url, admin=admin)
    program = start_own(routes, server="workers = 2")
    program.wait_for_log("serving ")
    return program


def path_of_new_session():
    return f"/sock/000/session{next(_SESSIONS)}"


def ask(client, path, body=b""):
    client.request("POST", path, body=body)
    return client.read_reply()


def test_each_request_on_a_connection_of_its_own(program, connect):
    for number in range(MANY):
        path = path_of_new_session()
        assert ask(connect(), f"{path}/xhr").body == b"o\n"
        assert ask(connect(), f"{path}/xhr").body == b'a["none"]\n'
        body = json.dumps([str(number)]).encode()
        assert ask(connect(), f"{path}/xhr_send", body).body == b"ok"
        assert json.loads(ask(connect(), f"{path}/xhr").body[1:]) == [str(number)]


def test_a_connection_goes_from_one_worker_to_the_other_and_back(program, connect):
    client = connect()
    paths = [path_of_new_session() for _ in range(MANY)]
    for path in paths:
        assert ask(client, f"{path}/xhr").body == b"o\n"
    for path in paths:
        assert ask(client, f"{path}/xhr_send", b'["x"]').body == b"ok"
    assert ask(client, "/other", b"plain").body == b"plain of /other"
    client.request("GET", "/sock/info")
    assert client.read_reply().status == 200


def test_what_is_sent_behind_a_request_goes_with_it(program, connect):
    for _ in range(MANY):
        client = connect()
        path = path_of_new_session()
        client.send(
            encode_request("POST", f"{path}/xhr", body=b"")
            + encode_request("POST", f"{path}/xhr", body=b"")
            + encode_request("POST", f"{path}/xhr_send", body=b'["x"]')
            + encode_request("GET", "/other")
        )
        bodies = [client.read_reply().body for _ in range(4)]
        assert bodies == [b"o\n", b'a["none"]\n', b"ok", b" of /other"]


def test_a_body_that_comes_later(program, connect):
    body = json.dumps(["x" * 50_000]).encode()
    for _ in range(MANY):
        path = path_of_new_session()
        ask(connect(), f"{path}/xhr")
        client = connect()
        expects = [("Content-Length", str(len(body))), ("Expect", "100-continue")]
        client.request("POST", f"{path}/xhr_send", expects)
        assert client.read_head().status == 100
        client.send(body[:10])
        client.send(body[10:])
        assert client.read_reply().body == b"ok"


def test_a_stream_and_its_end(program, backend):
    for _ in range(MANY):
        path = path_of_new_session()
        with RawClient(program.address) as client:
            client.request("POST", f"{path}/xhr_streaming", body=b"")
            client.read_head()
            got = [client.read_chunk() for _ in range(3)]
            assert got[1:] == [b"o\n", b'a["none"]\n']
            with RawClient(program.address) as sender:
                assert ask(sender, f"{path}/xhr_send", b'["a"]').body == b"ok"
            assert client.read_chunk() == b'a["a"]\n'


def test_published_messages_reach_sessions_of_all_workers(program, backend, connect):
    def subscribe(call):
        control = json.dumps({"type": "subscribe", "channel": "all"}).encode()
        events = ["OPEN", ("TEXT", b"c:" + control)] if b"OPEN" in call.body else []
        fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
        call.respond(fields=fields, body=write_events(*events))

    backend.answer = subscribe
    clients = [(connect(), path_of_new_session()) for _ in range(MANY)]
    for client, path in clients:
        assert ask(client, f"{path}/xhr").body == b"o\n"
        client.request("POST", f"{path}/xhr", body=b"")
    assert program.publish("all", ws_message={"content": "news"}) == MANY
    assert [client.read_reply().body for client, _ in clients] == [b'a["news"]\n'] * MANY


def test_over_tls(program, authority, secure_port):
    """TLS stays with the worker that has it, and what it says of the client goes along."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("client@example.org").configure_cert(context)
    address = ("127.0.0.1", secure_port)
    for _ in range(MANY // 2):
        path = path_of_new_session()
        with RawClient(address, tls=context) as client, RawClient(address, tls=context) as other:
            assert ask(client, f"{path}/xhr").body == b"o\n"
            assert ask(other, f"{path}/xhr").body == b'a["wss"]\n'
            body = json.dumps(["x" * 20_000] * 4).encode()
            assert ask(other, f"{path}/xhr_send", body).body == b"ok"
            got = []
            while len(got) < 4:
                got += json.loads(ask(client, f"{path}/xhr").body[1:])
            assert got == ["x" * 20_000] * 4
            assert ask(client, "/other", b"plain").body == b"plain of /other"


def test_who_leaves_a_tunnel_leaves_its_session(program, authority, secure_port, connect):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("client@example.org").configure_cert(context)
    for _ in range(MANY // 2):
        path = path_of_new_session()
        with RawClient(("127.0.0.1", secure_port), tls=context) as client:
            client.request("POST", f"{path}/xhr_streaming", body=b"")
            client.read_until(b'a["wss"]\n')
        end = time.monotonic() + DEADLINE_SECONDS
        while ask(connect(), f"{path}/xhr_send", b'["x"]').body != b"ok":
            assert time.monotonic() < end
        while (body := ask(connect(), f"{path}/xhr").body).startswith(b"c[2010"):
            assert time.monotonic() < end
            ask(connect(), f"{path}/xhr_send", b'["x"]')
        assert body.startswith(b"a")


def test_a_worker_that_dies_takes_its_sessions_along(own):
    paths = [path_of_new_session() for _ in range(MANY)]

    def ask_once(path, body=b""):
        with RawClient(own.address) as client:
            return ask(client, path, body)

    for path in paths:
        assert ask_once(f"{path}/xhr").body == b"o\n"
    first, _ = own.workers
    os.kill(first, signal.SIGKILL)
    own.wait_for_log("worker ended, and is replaced")
    statuses = set()
    for path in paths:
        try:
            statuses.add(ask_once(f"{path}/xhr_send", b'["x"]').status)
        except OSError:
            continue  # it had come to the worker that has died
    assert statuses <= {200, 404}
    for _ in range(MANY):
        assert ask_once(f"{path_of_new_session()}/xhr").body == b"o\n"


@pytest.mark.slow  # it is tried for some seconds
def test_a_worker_that_takes_no_connections(own):
    """Half of the sessions are at hand, and the others are refused, with nothing else lost."""
    for socket in own.folder.glob("*/clients-*"):
        socket.unlink()
    clients = [RawClient(own.address) for _ in range(MANY)]
    for client in clients:
        client.request("POST", f"{path_of_new_session()}/xhr", body=b"")
    assert {client.read_reply().status for client in clients} == {200, 503}
    for client in clients:
        client.close()
    own.wait_for_log("a worker takes no connections")
    with RawClient(own.address) as client:
        assert ask(client, "/other", b"plain").body == b"plain of /other"
