"""Clients who show certificates, and handlers that ask for what is in them."""

import re
import ssl

import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import TEXT, WebSocketClient

SHOWN = """
from realtime_proxy.pipeline import CONTINUE, BaseHandler


class Handler(BaseHandler):
    sets_headers = frozenset(("x-client",))

    async def on_request(self, exchange):
        shown = exchange.client_certificate
        text = "nobody" if shown is None else f"{shown.subject} {shown.fingerprint}"
        exchange.request.headers.append((b"X-Client", text.encode()))
        return CONTINUE
"""

ROUTES = """
[[server.tls]]
listen = "127.0.0.1:{required}"
certificate = "{folder}/site.pem"
key = "{folder}/site.pem"
client_ca = "{folder}/clients.pem"

[[server.tls]]
listen = "127.0.0.1:{optional}"
certificate = "{folder}/site.pem"
key = "{folder}/site.pem"
client_ca = "{folder}/clients.pem"
client_certificate = "optional"

[[route]]
handlers = ["shown"]
targets = [{{ url = "{url}", over_http = true }}]
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def client_ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority, client_ca):
    folder = tmp_path_factory.mktemp("tls")
    site = authority.issue_cert("localhost")
    site.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    client_ca.cert_pem.write_to_path(folder / "clients.pem")
    return folder


@pytest.fixture(scope="module")
def program(start, backend, folder):
    with reserved_ports(2) as (required, optional):
        rest = ROUTES.format(folder=folder, url=backend.url, required=required, optional=optional)
        program = start(rest, handlers=[("shown", SHOWN)])
        program.wait_for_log("serving ")  # at all of its addresses
        program.rest = rest
        program.required, program.optional = ("127.0.0.1", required), ("127.0.0.1", optional)
    return program


@pytest.fixture
def client(authority):
    """Makes the TLS side of a client, with a certificate of an authority if that is given."""

    def make(ca=None, version=ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        if ca is not None:
            issued = ca.issue_cert("alice@clients.test", common_name="alice")
            issued.configure_cert(context)
        return context

    return make


@pytest.mark.parametrize("kind", ["required", "optional"])
def test_handlers_know_the_certificate(connect, program, backend, client, client_ca, path, kind):
    connection = connect(getattr(program, kind), tls=client(client_ca))
    for _ in range(2):
        connection.request("GET", path, [("X-Client", "CN=root")])
        assert connection.read_reply().status == 200
    for request in backend.calls_to(path):
        (text,) = request.get_all("x-client")
        assert re.fullmatch(r"CN=alice,.* [0-9a-f]{64}", text)


def test_websockets_have_it_too(connect, program, backend, client, client_ca, path):
    opened = write_events("OPEN")
    backend.scripts[path] = lambda call: call.respond(200, [("Content-Type", CONTENT_TYPE)], opened)
    websocket = WebSocketClient(connect(program.required, tls=client(client_ca)))
    websocket.open(path)
    websocket.send(TEXT, b"a")
    assert backend.wait_for(path, 2).get("x-client").startswith("CN=alice,")


def test_without_one_where_that_is_accepted(connect, program, backend, client, path):
    for address, tls in ((program.optional, client()), (program.address, None)):
        connection = connect(address, tls=tls)
        connection.request("GET", path)
        assert connection.read_reply().status == 200
    assert [one.get("x-client") for one in backend.calls_to(path)] == ["nobody"] * 2


def ask(address, tls, path):
    """Connect, ask, and receive: in TLS 1.3 a client is done before it is refused."""
    with RawClient(address, tls=tls) as client:
        client.request("GET", path)
        client.socket.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["nothing", "of others"])
def test_who_is_refused_is_told(program, client, version, shown, path):
    tls = client(trustme.CA() if shown == "of others" else None, version)
    address = program.required if shown == "nothing" else program.optional
    before = len(program.log)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        ask(address, tls, path)
    line = program.wait_for_log(r"TLS handshake failed.*", after=before)[0]
    assert "127.0.0.1" in line
    wanted = "peer did not return a certificate" if shown == "nothing" else "not accepted"
    assert wanted in line


def test_other_authorities_count_once_the_file_is_another(
    connect, program, client, client_ca, folder, path
):
    staying = connect(program.required, tls=client(client_ca))
    later = trustme.CA()
    later.cert_pem.write_to_path(folder / "clients.pem")
    program.hang_up()
    connection = connect(program.required, tls=client(later))
    connection.request("GET", path)
    assert connection.read_reply().status == 200
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        ask(program.required, client(client_ca), path)
    staying.request("GET", path)
    assert staying.read_reply().status == 200
    client_ca.cert_pem.write_to_path(folder / "clients.pem")
    program.hang_up()
