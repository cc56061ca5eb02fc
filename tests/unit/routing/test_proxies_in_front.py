"""What is believed of proxies in front, of whom, and where the client is by that."""

import pytest

from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.proxies_in_front import ProxiesInFront

PEER = "192.0.2.1"
PROXIES = ("10.0.0.0/8", "2001:db8::1", "unix")
FORGED = [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Protocol", b"https")]


def proxies(**settings) -> ProxiesInFront:
    return ProxiesInFront(Forwarded(**settings))


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ([(b"X-Forwarded-Proto", b"HTTPS")], True),
        ([(b"X-Forwarded-Proto", b"wss")], True),
        ([(b"X-Forwarded-Protocol", b"https")], True),
        ([(b"X-Forwarded-Proto", b""), (b"X-Forwarded-Protocol", b"https")], True),
        ([(b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Protocol", b"https")], False),
        ([(b"X-Forwarded-Proto", b"\xff")], False),
        ([], False),
    ],
)
def test_what_counts_as_tls(fields, answer):
    headers = Headers(fields)
    assert proxies(accept_x_forwarded_proto=True).came_over_tls(headers, PEER) == answer
    assert not proxies().came_over_tls(headers, PEER)


def test_only_known_proxies_are_believed_where_there_are_any():
    rules = proxies(
        accept_x_forwarded_proto=True, accept_pushpin_route=True, trusted_proxies=PROXIES
    )
    headers = Headers([*FORGED, (b"Pushpin-Route", b"x")])
    assert rules.came_over_tls(headers, "10.0.0.1")
    assert rules.route_id(headers, "10.0.0.1") == "x"
    assert not rules.came_over_tls(headers, PEER)
    assert rules.route_id(headers, PEER) == ""


# -- where the client is -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "sent", "got"),
    [
        ("192.0.2.1", [b"1.1.1.1"], "192.0.2.1"),  # nobody known says so
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", [b"forged, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", [b"6.6.6.6", b"1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"1.1.1.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"1.1.1.1:5678"], "1.1.1.1"),
        ("10.0.0.1", [b"[2001:DB8::7]:80"], "2001:db8::7"),
        ("10.0.0.1", [b"\xff"], "10.0.0.1"),
        ("", [b"1.1.1.1"], "1.1.1.1"),
    ],
)
def test_the_client_is_where_known_proxies_say(peer, sent, got):
    headers = Headers((b"X-Forwarded-For", value) for value in sent)
    rules = proxies(trusted_proxies=PROXIES)
    assert rules.client_address(headers, peer, trusted=False) == got


def test_without_known_proxies_the_client_is_the_peer():
    headers = Headers([(b"X-Forwarded-For", b"1.1.1.1")])
    rules = proxies(x_forwarded_for=("append",))
    assert rules.client_address(headers, PEER, trusted=False) == PEER


@pytest.mark.parametrize(
    ("rule", "sent", "got"),
    [
        ((), b"1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (("append",), b"1.1.1.1", "1.1.1.1"),
        (("truncate:0", "append"), b"1.1.1.1", PEER),
        ((), b"nonsense", PEER),
    ],
)
def test_a_signature_vouches_for_the_first_address(rule, sent, got):
    headers = Headers([(b"X-Forwarded-For", sent)])
    rules = proxies(x_forwarded_for_trusted=rule)
    assert rules.client_address(headers, PEER, trusted=True) == got


@pytest.mark.parametrize("name", ["X-Real-IP", "x-real-ip"])
def test_the_address_may_be_in_a_field_of_its_own(name):
    rules = proxies(trusted_proxies=PROXIES, client_address_header=name)

    def address(*values, peer="10.0.0.1"):
        headers = Headers((b"X-Real-IP", value) for value in values)
        headers.append((b"X-Forwarded-For", b"6.6.6.6"))
        return rules.client_address(headers, peer, trusted=False)

    assert address(b"1.1.1.1") == "1.1.1.1"
    assert address(b"1.1.1.1", peer=PEER) == PEER
    assert address() == address(b"unknown") == "10.0.0.1"
    assert address(b"1.1.1.1", b"2.2.2.2") == "10.0.0.1"  # one of them is a client's


@pytest.mark.parametrize(
    ("peer", "sent", "got", "tls"),
    [
        ("10.0.0.1", [b"for=1.1.1.1;proto=https"], "1.1.1.1", True),
        ("10.0.0.1", [b'For="[2001:DB8::7]:80";Proto=HTTP'], "2001:db8::7", False),
        ("10.0.0.1", [b"for=6.6.6.6;proto=https", b"for=1.1.1.1"], "1.1.1.1", False),
        ("10.0.0.1", [b"for=1.1.1.1;proto=wss, for=10.0.0.2;proto=http"], "1.1.1.1", True),
        ("10.0.0.1", [b"for=1.1.1.1;proto=https, for=_hidden"], "10.0.0.1", False),
        ("10.0.0.1", [b'for=1.1.1.1;proto=https, for="1.2.3.4'], "10.0.0.1", False),
        (PEER, [b"for=1.1.1.1;proto=https"], PEER, False),
    ],
)
def test_forwarded(peer, sent, got, tls):
    rules = proxies(
        trusted_proxies=PROXIES, client_address_header="Forwarded", accept_x_forwarded_proto=True
    )
    headers = Headers((b"Forwarded", value) for value in sent)
    headers += [(b"X-Forwarded-For", b"6.6.6.6"), *FORGED]
    assert rules.client_address(headers, peer, trusted=False) == got
    assert rules.came_over_tls(headers, peer) == tls


def test_where_none_is_named_nobody_is_trusted_though_all_are_known_to_be_believed():
    assert not proxies().trusts("10.0.0.1")
    assert proxies(trusted_proxies=PROXIES).trusts("10.0.0.1")
    assert proxies(trusted_proxies=PROXIES).trusts("")
    assert not proxies(trusted_proxies=PROXIES).trusts(PEER)


def test_pushpin_route_is_read_if_it_is_accepted():
    headers = Headers([(b"pushpin-route", b"\xffx")])
    rules = proxies(accept_pushpin_route=True)
    assert rules.route_id(headers, PEER) == "\ufffdx"
    assert rules.route_id(Headers(), PEER) == ""
    assert proxies().route_id(headers, PEER) == ""
