"""Clients who are consumers by their certificates: let in, told of, and closed when these end."""

import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import CLOSE, TEXT, WebSocketClient

CONFIG = """
[forwarded]
trusted_proxies = ["127.0.0.1"]

[[server.tls]]
listen = "127.0.0.1:{tls}"
certificate = "{folder}/site.pem"
key = "{folder}/site.pem"
client_ca = "{folder}/clients.pem"
client_certificate = "optional"

[handler.mutual_tls]
consumers_file = "file:{folder}/consumers.toml"

[handler.identity_headers]
headers = {{ X-Client = "{{claims.subject}}", X-Print = "{{claims.fingerprint}}" }}

[[route]]
handlers = ["mutual_tls", "identity_headers"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/decisions"
targets = [{{ decisions = true }}]
"""
ALICE = '[[consumers]]\nusername = "alice"\ngroups = ["staff"]\n'
BOB = '[[consumers]]\nusername = "bobby"\ncertificates = ["DNS:bob.test"]\n'
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
LIFE = timedelta(seconds=4)  # certificates end at whole seconds


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def client_ca():
    return trustme.CA()


def put(file, text):
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").replace(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority, client_ca):
    folder = tmp_path_factory.mktemp("tls")
    site = authority.issue_cert("localhost")
    site.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    client_ca.cert_pem.write_to_path(folder / "clients.pem")
    put(folder / "consumers.toml", ALICE + BOB)
    return folder


@pytest.fixture(scope="module")
def program(start, backend, folder):
    with reserved_ports(1) as (tls,):
        program = start(CONFIG.format(folder=folder, url=backend.url, tls=tls))
        program.wait_for_log("serving ")  # at all of its addresses
        program.tls = ("127.0.0.1", tls)
    return program


@pytest.fixture
def come(connect, program, authority, client_ca):
    """Connects as a client that shows a certificate with these names, or none."""

    def connect_one(*names, common_name=None, not_after=None):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if names:
            issued = client_ca.issue_cert(*names, common_name=common_name, not_after=not_after)
            issued.configure_cert(context)
        return connect(program.tls, tls=context)

    return connect_one


def test_the_backend_learns_who_it_is(come, backend, path):
    client = come("alice@a.test", common_name="alice")
    client.request("GET", path, [("X-Client", "CN=root"), ("X-Consumer-Username", "root")])
    assert client.read_reply().status == 200
    call = backend.calls_to(path)[0]
    assert call.get_all("x-consumer-username") == ["alice"]
    [subject] = call.get_all("x-client")
    assert subject.startswith("CN=alice,")
    assert call.get("x-print") == call.get("x-credential-identifier")


def test_others_are_refused(come, connect, backend, path):
    header = [("X-SSL-Client-S-DN", "CN=alice"), ("X-Forwarded-Client-Cert", "Subject=CN=alice")]
    for client, status in (
        (come(), 401),
        (connect(), 401),
        (come("carol@a.test", common_name="carol"), 403),
    ):
        client.request("GET", path, header)
        reply = client.read_reply()
        assert reply.status == status
        assert "TLS certificate" in json.loads(reply.body)["message"]
    asked = WebSocketClient(come())
    asked.ask(path)
    assert asked.client.read_reply().status == 401
    assert backend.calls_to(path) == []


def echo(call):
    told = write_events("OPEN") if b"OPEN" in call.body else write_events(("TEXT", b"ok"))
    call.respond(200, [("Content-Type", CONTENT_TYPE)], told)


def test_what_is_held_ends_with_its_certificate(come, backend, path):
    backend.scripts[path] = echo
    backend.scripts[f"{path}/stream"] = lambda call: call.respond(fields=STREAM)
    end = datetime.now(UTC) + LIFE
    client, stream = (
        WebSocketClient(come("bob.test", not_after=end)),
        come("bob.test", not_after=end),
    )
    stream.request("GET", f"{path}/stream")
    assert stream.read_head().status == 200
    client.open(path)
    client.send(TEXT, b"hello")
    assert client.read().content == b"ok"
    assert backend.wait_for(path, 2).get("x-consumer-username") == "bobby"
    close = client.read()
    assert (close.opcode, close.close_code) == (CLOSE, 4401)
    assert stream.read_until(b"event: expired\ndata: credential expired\n\n")


def test_who_is_no_consumer_any_more_has_to_go(come, backend, folder, path):
    backend.scripts[path] = echo
    clients = {}
    for name in ("bob.test", "alice"):
        clients[name] = WebSocketClient(come(name))
        clients[name].open(path)
    put(folder / "consumers.toml", ALICE)
    close = clients["bob.test"].read()
    assert (close.close_code, close.close_reason) == (4401, "credential revoked")
    clients["alice"].send(TEXT, b"hello")
    assert clients["alice"].read().content == b"ok"
    put(folder / "consumers.toml", ALICE + BOB)


def test_the_certificate_of_a_gateway_that_asks_is_not_its_clients(come, path):
    client = come("alice")
    client.request("GET", f"/decisions{path}")
    assert client.read_reply().status == 401
