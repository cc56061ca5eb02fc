"""Connections as they are accepted, with sockets of the tests' own."""

import socket
import ssl

import pytest
import structlog.testing
import trio
import trustme

from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.reception import Reception
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.address_limit import AddressLimit
from realtime_proxy.net.certificates import ClientAuthorities, server_context
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.tls import TlsCodec, handshake

SECONDS = 10
PROXY, STRANGER = "10.0.0.1", "192.0.2.1"
HEADER = b"PROXY TCP4 10.1.2.3 10.0.0.1 4000 80\r\n"
TLS = Tls("127.0.0.1:443", "", "", proxy_protocol=True)
PLAIN, PROXIED = Listener(None), Listener(None, proxy_protocol=True)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def contexts(authority, tmp_path):
    """A server's, and that of a client without a certificate."""
    issued = authority.issue_cert("a.example")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "a.pem")
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    clients = ClientAuthorities(tmp_path / "clients.pem")
    server = server_context(tmp_path / "a.pem", tmp_path / "a.pem", clients)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class Arrivals:
    """What becomes of connections."""

    def __init__(self):
        self.admitted = []
        self.turned_away = 0
        self.counters = Counters()
        self.addresses = AddressLimit(self.counters)
        self.settled = trio.Event()

    def admit(self, raw, tls, peer):
        self.admitted.append((raw, tls, peer))
        self.settled.set()

    def turn_away(self):
        self.turned_away += 1
        self.settled.set()


@pytest.fixture
def arrivals():
    return Arrivals()


@pytest.fixture
def receive(nursery, arrivals, contexts):
    """Has a connection of a listener received; gives its other end."""
    reception = Reception(Crew(nursery), arrivals.admit, arrivals.addresses, arrivals.turn_away)
    reception.adopt(Server(tls=(TLS,)), {TLS.listen: contexts[0]}, lambda peer: peer == PROXY)
    opened = []

    def make(listener, peer=PROXY):
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            opened.append(end)
            end.setblocking(False)
        reception.taker(listener)(ours, peer)
        return theirs

    make.reception = reception
    with structlog.testing.capture_logs() as logged:
        make.logged = logged
        yield make
    nursery.cancel_scope.cancel()
    for end in opened:
        end.close()


async def settled(arrivals):
    with trio.fail_after(SECONDS):
        await arrivals.settled.wait()


async def end_of(raw):
    with trio.fail_after(SECONDS):
        await trio.lowlevel.wait_readable(raw)
    return raw.recv(100)


async def test_a_plain_listener_takes_anybody_at_once(receive, arrivals):
    receive(PLAIN, STRANGER)
    ((_, tls, peer),) = arrivals.admitted
    assert (tls, peer) == (None, STRANGER)


async def test_a_proxy_says_whose_connection_it_is(receive, arrivals):
    receive(PROXIED).send(HEADER + b"GET")
    await settled(arrivals)
    ((raw, tls, peer),) = arrivals.admitted
    assert (tls, peer) == (None, "10.1.2.3")
    assert raw.recv(100) == b"GET"


async def test_a_health_check_is_the_proxys_own(receive, arrivals):
    receive(PROXIED).send(b"PROXY UNKNOWN\r\n")
    await settled(arrivals)
    assert arrivals.admitted[0][2] == PROXY


@pytest.mark.parametrize("listener", [PROXIED, Listener(None, TLS)])
async def test_strangers_can_not_say_who_they_are(receive, arrivals, listener):
    other = receive(listener, STRANGER)
    other.send(HEADER)
    assert await end_of(other) == b""
    other.close()
    await settled(arrivals)
    assert (arrivals.admitted, arrivals.turned_away) == ([], 1)
    assert receive.logged[0]["peer"] == STRANGER
    assert "trusted_proxies" in receive.logged[0]["problem"]


async def test_what_is_no_header_is_refused(receive, arrivals):
    other = receive(PROXIED)
    other.send(b"GET / HTTP/1.1\r\n")
    assert await end_of(other) == b""
    other.close()
    await settled(arrivals)
    assert arrivals.turned_away == 1
    assert "PROXY header" in receive.logged[0]["problem"]


@pytest.mark.parametrize("begun", [b"", HEADER[:9], HEADER, HEADER + b"\x16\x03"])
async def test_nobody_is_waited_for_longer_than_for_a_request(
    receive, arrivals, begun, autojump_clock
):
    other = receive(Listener(None, TLS))
    other.send(begun)
    began_at = trio.current_time()
    await arrivals.settled.wait()
    assert arrivals.turned_away == 1
    assert trio.current_time() - began_at == Server().header_timeout_seconds + 1  # to read why
    assert receive.logged[0]["problem"] == "it took too long to begin"


async def test_a_client_without_certificate_can_read_why(receive, arrivals, contexts):
    other = receive(Listener(None, TLS))
    other.send(HEADER)
    codec = TlsCodec(contexts[1], "a.example")
    with trio.fail_after(SECONDS):
        await handshake(other, codec)  # in TLS 1.3 the client is done before it is refused
        other.send(codec.seal(b"GET / HTTP/1.1\r\n\r\n"))
        other.shutdown(socket.SHUT_WR)
        await settled(arrivals)
    assert arrivals.turned_away == 1
    (line,) = receive.logged
    assert (line["event"], line["peer"]) == ("TLS handshake failed", "10.1.2.3")
    assert line["problem"] == "peer did not return a certificate"
    with pytest.raises(ConnectionResetError, match=r"(?i)certificate.required"):
        codec.open(other.recv(10_000))


# -- too many of one address ---------------------------------------------------------------


@pytest.fixture
def one_each(arrivals):
    """Every address may have one connection."""
    arrivals.addresses.adopt(1, lambda peer: peer == PROXY, ())


async def test_an_address_gets_only_so_many_connections(one_each, receive, arrivals):
    receive(PLAIN, STRANGER)
    other = receive(PLAIN, STRANGER)
    assert other.recv(1_000).startswith(b"HTTP/1.1 503 ")
    assert other.recv(1_000) == b""
    receive(PLAIN, "192.0.2.2")
    assert (len(arrivals.admitted), arrivals.turned_away) == (2, 1)
    assert arrivals.counters.limit_connections_per_address == 1
    assert receive.logged[0]["peer"] == STRANGER
    assert "max_connections_per_address" in receive.logged[0]["problem"]


async def test_who_has_asked_already_can_read_why_not(one_each, arrivals, nursery, contexts):
    reception = Reception(Crew(nursery), arrivals.admit, arrivals.addresses, arrivals.turn_away)
    arrivals.addresses.enter(STRANGER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw, _ = listener.accept()
            reception.taker(PLAIN)(raw, STRANGER)
            assert b"Retry-After" in client.recv(1_000)
            assert client.recv(1_000) == b""
    nursery.cancel_scope.cancel()


async def test_behind_a_proxy_it_is_the_client_that_counts(one_each, receive, arrivals):
    for expected in (1, 1):
        receive(PROXIED).send(HEADER)
        await settled(arrivals)
        arrivals.settled = trio.Event()
        assert len(arrivals.admitted) == expected
    assert arrivals.turned_away == 1


async def test_over_tls_the_connection_is_closed(one_each, receive, arrivals):
    arrivals.addresses.enter("10.1.2.3")
    other = receive(Listener(None, TLS))
    other.send(HEADER)
    assert await end_of(other) == b""
    assert arrivals.turned_away == 1


async def test_who_does_not_get_in_is_not_counted_as_there(one_each, receive, arrivals):
    other = receive(Listener(None, TLS))
    other.send(HEADER + b"nonsense for a handshake")
    other.shutdown(socket.SHUT_WR)
    await settled(arrivals)
    assert arrivals.turned_away == 1
    assert arrivals.addresses.enter("10.1.2.3")


async def test_who_is_counted_before_he_is_admitted_is_known(receive, arrivals, contexts):
    """A new configuration counts everybody anew, those within their handshake included."""
    other = receive(Listener(None, TLS), PROXY)
    other.send(HEADER)
    with trio.fail_after(SECONDS):
        while not list(receive.reception.entering):
            await trio.lowlevel.checkpoint()
    assert list(receive.reception.entering) == ["10.1.2.3"]
    codec = TlsCodec(contexts[1], "a.example")
    with trio.fail_after(SECONDS):
        await handshake(other, codec)
        other.close()
        await arrivals.settled.wait()
    assert list(receive.reception.entering) == []
