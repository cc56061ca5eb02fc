"""What is believed of proxies in front, and what of a request's fields gets past the door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.forwarding import ForRule, Forwarding

PEER = "192.0.2.1"
SILENT = {"set_x_forwarded_proto": "", "x_forwarded_for": (), "x_forwarded_for_trusted": ()}
PROXIES = ("10.0.0.0/8", "2001:db8::1", "unix")


def forwarding(**settings) -> Forwarding:
    return Forwarding(Forwarded(**SILENT | settings), frozenset({b"x-consumer-id"}))


def inbound(fields, peer=PEER, scheme="http", trusted=False, marks=False, **settings):
    rules = forwarding(**settings)
    return rules.inbound_headers(Headers(fields), peer, scheme, trusted=trusted, marks=marks)


def names(fields, **options):
    return [name for name, _ in inbound(fields, **options)]


# -- what nobody else may say ------------------------------------------------------------------


def test_ordinary_fields_pass_in_their_order_and_spelling():
    fields = [(b"Host", b"a"), (b"X-One", b"1"), (b"x-one", b"2"), (b"Upgrade", b"websocket")]
    assert inbound(fields) == fields


def test_what_only_handlers_may_say_is_dropped_even_from_the_trusted():
    fields = [(b"X-Consumer-ID", b"root"), (b"Accept", b"a")]
    assert names(fields) == names(fields, trusted=True) == [b"Accept"]


def test_grip_fields_stay_only_from_the_trusted():
    fields = [(b"Grip-Sig", b"token"), (b"GRIP-Last", b"a"), (b"Gripped", b"b")]
    assert names(fields) == [b"Gripped"]
    assert names(fields, trusted=True) == [b"Grip-Sig", b"GRIP-Last", b"Gripped"]


def test_a_known_proxy_may_not_send_grip_fields():
    assert names([(b"Grip-Sig", b"token")], peer="10.1.1.1", trusted_proxies=PROXIES) == []


def test_what_connection_names_is_dropped():
    fields = [(b"Connection", b"close, X-Mine"), (b"X-MINE", b"1"), (b"X-Other", b"2")]
    assert names(fields) == [b"Connection", b"X-Other"]


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"CDN-Loop"])
def test_connection_can_not_take_everything_away(name):
    assert names([(b"Connection", name), (name, b"5")]) == [b"Connection", name]


# -- X-Forwarded-For ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "sent", "got"),
    [
        ((), [b"a, b"], [b"a, b"]),
        (("append",), [], [PEER.encode()]),
        (("append",), [b"a", b" b ,, c"], [b"a, b, c, 192.0.2.1"]),
        (("truncate:2",), [b"a, b, c"], [b"b, c"]),
        (("truncate:5", "append"), [b"a"], [b"a, 192.0.2.1"]),
        (("truncate:0",), [b"a"], []),
        (("truncate:0", "append"), [b"a"], [b"192.0.2.1"]),
        (("append", "truncate:1"), [b"a, b"], [b"b, 192.0.2.1"]),
        (("truncate:1",), [b" , "], []),
    ],
)
def test_x_forwarded_for(rule, sent, got):
    fields = [(b"x-forwarded-FOR", value) for value in sent]
    assert inbound(fields, x_forwarded_for=rule).get_all(b"x-forwarded-for") == got
    assert (
        inbound(fields, trusted=True, x_forwarded_for_trusted=rule).get_all(b"x-forwarded-for")
        == got
    )


def test_a_unix_socket_has_no_address_to_append():
    assert inbound([], peer="", x_forwarded_for=("append",)) == []


def test_a_client_can_not_strip_its_address_by_connection():
    fields = [(b"Connection", b"X-Forwarded-For"), (b"X-Forwarded-For", b"a")]
    got = inbound(fields, x_forwarded_for=("append",))
    assert got.get(b"x-forwarded-for") == b"a, 192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "got"),
    [
        ("10.1.2.3", b"a, 10.1.2.3"),
        ("2001:db8::1", b"a, 2001:db8::1"),
        ("", b"a"),
        ("192.0.2.1", b"192.0.2.1"),
    ],
)
def test_known_proxies_have_the_rule_of_the_trusted(peer, got):
    rules = {"x_forwarded_for": ("truncate:0", "append"), "x_forwarded_for_trusted": ("append",)}
    fields = [(b"X-Forwarded-For", b"a")]
    headers = inbound(fields, peer=peer, trusted_proxies=PROXIES, **rules)
    assert headers.get_all(b"x-forwarded-for") == [got]


def test_unless_told_otherwise_backends_hear_of_nobody_but_the_peer():
    fields = Headers([(b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-Proto", b"https")])
    rules = Forwarding(Forwarded(), frozenset())
    got = rules.inbound_headers(fields, PEER, "http", trusted=False, marks=False)
    assert got == [(b"X-Forwarded-For", PEER.encode())]


@given(
    st.lists(st.sampled_from(["append", "truncate:0", "truncate:1", "truncate:3"]), max_size=3),
    st.lists(st.lists(st.sampled_from([b"a", b"", b" b "])).map(b",".join)),
    st.sampled_from(["", PEER]),
)
def test_any_rule_keeps_the_end_and_adds_the_peer(words, lines, peer):
    rule = ForRule.of(tuple(words))
    if rule is None:
        assert words == []
        return
    sent = [part.strip() for line in lines for part in line.split(b",") if part.strip()]
    counts = [int(word[9:]) for word in words if word != "append"]
    kept = sent[max(0, len(sent) - counts[-1]) :] if counts else sent
    own = [peer.encode()] if peer and "append" in words else []
    headers = Headers((b"X-Forwarded-For", line) for line in lines)
    assert rule.value(headers, peer) == b", ".join(kept + own)


# -- X-Forwarded-Proto -------------------------------------------------------------------------

FORGED = [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Protocol", b"https")]


@pytest.mark.parametrize(
    ("setting", "scheme", "got"),
    [
        ("", "https", FORGED),
        ("proto", "http", []),
        ("proto", "https", [(b"X-Forwarded-Proto", b"https")]),
        ("proto", "wss", [(b"X-Forwarded-Proto", b"wss")]),
        ("both", "ws", []),
        ("both", "https", [(b"x-forwarded-proto", b"https"), (b"x-forwarded-protocol", b"https")]),
    ],
)
def test_x_forwarded_proto(setting, scheme, got):
    headers = inbound(FORGED, scheme=scheme, set_x_forwarded_proto=setting)
    assert [(name.lower(), value) for name, value in headers] == [
        (name.lower(), value) for name, value in got
    ]


def test_what_decides_is_not_passed_on():
    assert inbound(FORGED, accept_x_forwarded_proto=True) == []


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
    assert forwarding(accept_x_forwarded_proto=True).came_over_tls(headers, PEER) == answer
    assert not forwarding().came_over_tls(headers, PEER)


def test_only_known_proxies_are_believed_where_there_are_any():
    rules = forwarding(
        accept_x_forwarded_proto=True, accept_pushpin_route=True, trusted_proxies=PROXIES
    )
    headers = Headers([*FORGED, (b"Pushpin-Route", b"x")])
    assert rules.came_over_tls(headers, "10.0.0.1")
    assert rules.route_id(headers, "10.0.0.1") == "x"
    assert not rules.came_over_tls(headers, PEER)
    assert rules.route_id(headers, PEER) == ""


# -- Pushpin-Route, CDN-Loop -------------------------------------------------------------------


def test_pushpin_route_is_an_ordinary_field_by_default():
    fields = [(b"Pushpin-Route", b"x")]
    assert forwarding().route_id(Headers(fields), PEER) == ""
    assert inbound(fields) == fields


def test_pushpin_route_is_for_us_if_it_is_accepted():
    fields = [(b"pushpin-route", b"\xffx")]
    rules = forwarding(accept_pushpin_route=True)
    assert rules.route_id(Headers(fields), PEER) == "\ufffdx"
    assert rules.route_id(Headers(), PEER) == ""
    assert inbound(fields, accept_pushpin_route=True) == []


@pytest.mark.parametrize(
    ("sent", "got"), [([], b"me"), ([b"a; v=1"], b"a; v=1, me"), ([b"a", b"b, c"], b"a, b, c, me")]
)
def test_cdn_loop(sent, got):
    headers = inbound([(b"cdn-loop", value) for value in sent], cdn_loop="me")
    assert headers == [(b"CDN-Loop", got)]


# -- marks -------------------------------------------------------------------------------------


def test_marked_fields_are_what_came():
    fields = [(b"Host", b"a"), (b"Grip-Last", b"x"), (b"X-Consumer-ID", b"root")]
    assert inbound(fields, marks=True, x_forwarded_for=("append",)) == [
        (b"Host", b"a"),
        (b"X-Forwarded-For", PEER.encode()),
        (b"eb9bf0f5-Host", b"a"),
        (b"eb9bf0f5-Grip-Last", b"x"),
        (b"eb9bf0f5-X-Consumer-ID", b"root"),
    ]


def test_no_marks_without_the_option():
    fields = [(b"EB9BF0F5-X", b"1"), (b"X", b"2")]
    assert inbound(fields) == inbound(fields, trusted=True) == [(b"X", b"2")]


def test_marks_of_the_trusted_pass_and_none_are_added():
    fields = [(b"X", b"2"), (b"eb9bf0f5-X", b"1")]
    assert inbound(fields, marks=True, trusted=True) == fields


def test_fields_that_need_a_mark_get_it_only_from_before_us():
    need = {"original_headers_need_mark": ("User-Agent",), "marks": True}
    assert inbound([(b"user-agent", b"cdn")], **need) == [(b"user-agent", b"cdn")]
    fields = [(b"eb9bf0f5-User-Agent", b"mine"), (b"User-Agent", b"cdn")]
    assert inbound(fields, **need) == fields[::-1]


def test_a_forged_mark_does_not_contradict_the_field():
    fields = [(b"X-Real", b"true"), (b"eb9bf0f5-X-Real", b"forged")]
    assert inbound(fields, marks=True) == [(b"X-Real", b"true"), (b"eb9bf0f5-X-Real", b"true")]


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
    rules = forwarding(trusted_proxies=PROXIES)
    assert rules.client_address(headers, peer, trusted=False) == got


def test_without_known_proxies_the_client_is_the_peer():
    headers = Headers([(b"X-Forwarded-For", b"1.1.1.1")])
    rules = forwarding(x_forwarded_for=("append",))
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
    rules = forwarding(x_forwarded_for_trusted=rule)
    assert rules.client_address(headers, PEER, trusted=True) == got
