"""Clients behind a load balancer that says whose connections it passes on."""

import ssl

import pytest
import trustme

from realtime_proxy.testing.raw_client import CutShort
from realtime_proxy.testing.reserved_ports import reserved_ports

V1 = b"PROXY TCP4 10.1.2.3 127.0.0.1 4000 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f" + bytes((10, 1, 2, 3, 127, 0, 0, 1)) + b"\x0f\xa0\0P"
V2 += b"\x04\0\0"  # one TLV without content
HEALTH_CHECK = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
ROUTES = """
[forwarded]
trusted_proxies = ["{proxies}"]

[[server.tls]]
listen = "127.0.0.1:{secure}"
certificate = "{folder}/site.pem"
key = "{folder}/site.pem"
proxy_protocol = true

[[route]]
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("tls")
    site = authority.issue_cert("localhost")
    site.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    return folder


@pytest.fixture(scope="module")
def started(start, backend, folder):
    def started(proxies, server=""):
        with reserved_ports(2) as (proxied, secure):
            rest = ROUTES.format(url=backend.url, folder=folder, secure=secure, proxies=proxies)
            listen = f"127.0.0.1:{proxied}?proxy_protocol=true"
            program = start(rest, listen=listen, server=server)
            program.wait_for_log("serving ")  # at all of its addresses
        program.rest = rest
        program.proxied, program.secure = ("127.0.0.1", proxied), ("127.0.0.1", secure)
        return program

    return started


@pytest.fixture(scope="module", params=[1, 2])
def program(request, started):
    return started("127.0.0.1", f"workers = {request.param}")


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("first", [V1, V2, HEALTH_CHECK])
@pytest.mark.parametrize("kind", ["proxied", "secure"])
def test_the_client_is_who_the_header_names(connect, program, backend, trusting, path, first, kind):
    tls = trusting if kind == "secure" else None
    client = connect(getattr(program, kind), first=first, tls=tls)
    client.request("GET", path)
    assert client.read_reply().status == 200
    wanted = "127.0.0.1" if first == HEALTH_CHECK else "10.1.2.3"
    assert backend.calls_to(path)[0].get_all("x-forwarded-for") == [wanted]


def test_what_such_a_client_says_of_itself_is_not_believed(connect, program, backend, path):
    client = connect(program.proxied, first=V1)
    client.request("GET", path, [("X-Forwarded-For", "192.0.2.1")])
    assert client.read_reply().status == 200
    assert backend.calls_to(path)[0].get_all("x-forwarded-for") == ["10.1.2.3"]


def test_other_listeners_take_no_header(connect, program):
    client = connect(first=V1)
    client.request("GET", "/")
    assert client.read_reply().status == 400


@pytest.mark.parametrize("first", [b"", b"PROXY TCP4 nobody\r\n"])
def test_without_a_header_nobody_is_served(connect, program, first):
    before = len(program.log)
    client = connect(program.proxied, first=first)
    client.request("GET", "/")
    with pytest.raises(CutShort):
        client.read_reply()
    program.wait_for_log("connection refused.*127.0.0.1.*PROXY header", after=before)


def test_strangers_are_not_served(started, connect):
    program = started("10.0.0.0/8")
    client = connect(program.proxied, first=V1)
    client.request("GET", "/")
    with pytest.raises(CutShort):
        client.read_reply()
    program.wait_for_log("connection refused.*trusted_proxies")
