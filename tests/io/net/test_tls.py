import ssl

import pytest
import trio

from realtime_proxy.net.tls import TlsCodec, handshake

SECONDS = 10


@pytest.fixture(scope="module")
def server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("a.example").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def shaken(server, client, name="a.example"):
    """Both codecs of a connection, agreed upon without any socket."""
    ours, theirs = TlsCodec(server, None), TlsCodec(client, name)
    done = [False, False]
    records = b""
    while not all(done):
        done[1] = theirs.handshake(records)
        done[0] = ours.handshake(theirs.output())
        records = ours.output()
    assert not records or theirs.open(records) is None  # session tickets
    return ours, theirs


def test_both_ways(server, client):
    ours, theirs = shaken(server, client)
    assert ours.open(theirs.seal(b"to us")) == b"to us"
    assert theirs.open(ours.seal(b"to them")) == b"to them"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_data_in_both_versions(server, client, authority, version):
    limited = ssl.create_default_context()
    authority.configure_trust(limited)
    limited.minimum_version = limited.maximum_version = version
    ours, theirs = shaken(server, limited)
    data = bytes(range(256)) * 2_000
    assert ours.open(theirs.seal(data)) == data
    assert theirs.open(ours.seal(data)) == data


def test_records_may_come_in_pieces_and_together(server, client):
    ours, theirs = shaken(server, client)
    records = theirs.seal(b"abc") + theirs.seal(b"def")
    assert [ours.open(records[at : at + 1]) for at in range(len(records))].count(None) > 0
    records = theirs.seal(b"abc") + theirs.seal(b"def") + theirs.seal(b"cut")[:-1]
    assert ours.open(records) == b"abcdef"


def test_nothing_is_sealed_as_nothing_that_is_read(server, client):
    ours, theirs = shaken(server, client)
    records = ours.seal(b"") + ours.seal(b"abc")
    assert theirs.open(records) == b"abc"


def test_a_goodbye_is_the_end(server, client):
    ours, theirs = shaken(server, client)
    last = theirs.seal(b"last")
    assert ours.open(last + theirs.goodbye()) == b"last"
    assert ours.open(b"") == b""
    assert ours.open(b"") == b""
    assert ours.peer_has_ended


def test_goodbyes_of_both_are_the_end(server, client):
    ours, theirs = shaken(server, client)
    assert ours.goodbye()
    assert ours.open(theirs.goodbye()) == b""
    assert ours.peer_has_ended


def test_an_end_without_a_goodbye_is_an_end(server, client):
    ours, _ = shaken(server, client)
    assert ours.open(b"") == b""
    assert not ours.peer_has_ended


def test_after_the_goodbye_nothing_can_be_sealed(server, client):
    ours, _ = shaken(server, client)
    assert ours.goodbye()
    assert ours.goodbye() == b""
    with pytest.raises(OSError, match="shutdown"):
        ours.seal(b"abc")


@pytest.mark.parametrize("spoil", [0, 1, 5, -1])
def test_spoilt_records_are_refused(server, client, spoil):
    ours, theirs = shaken(server, client)
    records = bytearray(theirs.seal(b"abc"))
    records[spoil] ^= 0x55
    with pytest.raises(ConnectionResetError):
        ours.open(bytes(records) + theirs.seal(b"def") * 1_000)


def test_an_alert_is_for_nobody_else(server, client):
    (ours, theirs), (others, other) = shaken(server, client), shaken(server, client)
    with pytest.raises(ConnectionResetError):
        ours.open(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert other.open(others.seal(b"abc")) == b"abc"
    with pytest.raises(ConnectionResetError, match=r"(?i)alert"):
        theirs.open(ours.output())


def test_what_could_not_be_sealed_is_for_nobody_else(server, client):
    (ours, theirs), (others, other) = shaken(server, client), shaken(server, client)
    begun = TlsCodec(server, None)
    with pytest.raises(OSError):  # noqa: PT011  as the handshake is not done
        begun.seal(b"abc")
    assert other.open(others.seal(b"def")) == b"def"
    assert theirs.open(ours.seal(b"ghi")) == b"ghi"


def test_records_that_are_due_go_first(server, client):
    ours, theirs = TlsCodec(server, None), TlsCodec(client, "a.example")
    theirs.handshake(b"")
    ours.handshake(theirs.output())
    assert theirs.handshake(ours.output())
    ours.handshake(theirs.output())
    assert theirs.open(ours.seal(b"abc")) == b"abc"  # after the tickets of the handshake


def test_what_came_with_the_handshake_is_there_afterwards(server, client):
    ours, theirs = TlsCodec(server, None), TlsCodec(client, "a.example")
    theirs.handshake(b"")
    ours.handshake(theirs.output())
    assert theirs.handshake(ours.output())
    assert ours.handshake(theirs.output() + theirs.seal(b"early"))
    assert ours.opened_before() == b"early"
    assert ours.opened_before() is None


# -- over sockets --------------------------------------------------------------------------


async def shake(raw, codec, failures):
    try:
        await handshake(raw, codec)
    except (OSError, ssl.SSLError) as error:
        failures.append(error)
        raw.close()


async def test_a_handshake_over_sockets(pair, server, client):
    ours, theirs = pair()
    codec, peer = TlsCodec(server, None), TlsCodec(client, "a.example")
    failures = []
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, ours, codec, failures)
            nursery.start_soon(shake, theirs, peer, failures)
    assert not failures
    assert codec.open(peer.seal(b"abc")) == b"abc"


async def test_a_certificate_for_another_name_is_refused(pair, server, client):
    ours, theirs = pair()
    failures = []
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, ours, TlsCodec(server, None), failures)
            nursery.start_soon(shake, theirs, TlsCodec(client, "b.example"), failures)
    kinds = [type(failure) for failure in failures]
    assert ssl.SSLCertVerificationError in kinds
    assert ssl.SSLError in kinds  # the alert says so to the other side


async def test_nonsense_is_refused_with_an_alert(pair, server):
    ours, theirs = pair()
    theirs.send(b"\x16\x03\x01\x00\x05hello")
    with trio.fail_after(SECONDS), pytest.raises(ssl.SSLError):
        await handshake(ours, TlsCodec(server, None))
    assert theirs.recv(100)[:1] == b"\x15"


async def test_a_client_that_leaves_within_the_handshake(pair, server):
    ours, theirs = pair()
    theirs.close()
    with trio.fail_after(SECONDS), pytest.raises(ConnectionResetError):
        await handshake(ours, TlsCodec(server, None))


async def test_a_handshake_can_be_given_up(pair, server):
    ours, _ = pair()
    with trio.move_on_after(0) as scope:
        await handshake(ours, TlsCodec(server, None))
    assert scope.cancelled_caught
