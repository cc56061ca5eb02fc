"""What is believed of proxies in front, and what of a request's fields gets past the door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.shared_headers import KnownHeaders, SharedHeaders
from realtime_proxy.routing.forwarding import ForRule, Forwarding, _kept, _rules
from realtime_proxy.routing.proxies_in_front import ProxiesInFront

PEER = "192.0.2.1"
SILENT = {
    "set_x_forwarded_proto": "",
    "x_forwarded_for": (),
    "x_forwarded_for_trusted": (),
    "drop_untrusted": False,
    "via": "",
}
PROXIES = ("10.0.0.0/8", "2001:db8::1", "unix")


def forwarding(**settings) -> Forwarding:
    forwarded = Forwarded(**SILENT | settings)
    return Forwarding(forwarded, ProxiesInFront(forwarded), frozenset({b"x-consumer-id"}))


def inbound(
    fields,
    peer=PEER,
    scheme="http",
    trusted=False,
    marks=False,
    identity_headers=(),
    version=b"1.1",
    **settings,
):
    head = RequestHead(b"GET", b"/", Headers(fields), version)
    return forwarding(**settings).inbound_headers(
        head,
        peer,
        scheme,
        trusted=trusted,
        marks=marks,
        identity_headers=frozenset(identity_headers),
    )


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


@pytest.mark.parametrize("name", [b"X_Consumer-ID", b"x.consumer.id", b"GRIP_Sig", b"grip.last"])
def test_other_spellings_of_a_field_are_that_field(name):
    """Backends that make variables of fields can't tell them apart."""
    assert names([(name, b"root"), (b"X_Other.Field", b"a")]) == [b"X_Other.Field"]


def test_what_connection_names_in_another_spelling_is_dropped():
    assert names([(b"Connection", b"x_mine"), (b"X-Mine", b"1")]) == [b"Connection"]
    kept = [b"Connection", b"Content-Length"]
    assert names([(b"Connection", b"content_length"), (b"Content-Length", b"1")]) == kept


def test_a_known_proxy_may_not_send_grip_fields():
    assert names([(b"Grip-Sig", b"token")], peer="10.1.1.1", trusted_proxies=PROXIES) == []


def test_what_connection_names_is_dropped():
    fields = [(b"Connection", b"close, X-Mine"), (b"X-MINE", b"1"), (b"X-Other", b"2")]
    assert names(fields) == [b"Connection", b"X-Other"]


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"CDN-Loop", b"Via"])
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
    fields = [(b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-Proto", b"https")]
    fields += [(b"X-Forwarded-Host", b"a"), (b"Forwarded", b"for=a"), (b"X-Real-IP", b"1.2.3.4")]
    defaults = {name: getattr(Forwarded(), name) for name in SILENT}
    assert inbound(fields, **defaults) == [
        (b"Via", b"1.1 realtime-proxy"),
        (b"X-Forwarded-For", PEER.encode()),
    ]


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


# -- Pushpin-Route, CDN-Loop -------------------------------------------------------------------


def test_pushpin_route_is_an_ordinary_field_by_default():
    fields = [(b"Pushpin-Route", b"x")]
    assert inbound(fields) == fields


def test_pushpin_route_is_for_us_if_it_is_accepted():
    fields = [(b"pushpin-route", b"x")]
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


# -- who the client is, by a gateway ------------------------------------------------------------

IDENTITY = [(b"X-Consumer-ID", b"alice"), (b"Accept", b"a")]


@pytest.mark.parametrize(
    ("peer", "trusted", "is_kept"),
    [("10.1.1.1", False, True), ("", False, True), (PEER, False, False), (PEER, True, True)],
)
def test_identity_is_taken_from_known_gateways_where_a_route_says_so(peer, trusted, is_kept):
    options = {"peer": peer, "trusted": trusted, "trusted_proxies": PROXIES}
    wanted = IDENTITY if is_kept else IDENTITY[1:]
    assert inbound(IDENTITY, identity_headers=[b"x-consumer-id"], **options) == wanted
    assert inbound(IDENTITY, **options) == IDENTITY[1:]


def test_where_no_proxies_are_named_none_is_a_gateway():
    assert inbound(IDENTITY, peer="10.1.1.1", identity_headers=[b"x-consumer-id"]) == IDENTITY[1:]


@pytest.mark.parametrize("name", [b"X_Consumer_ID", b"x.consumer-id"])
def test_a_gateways_client_can_not_say_it_in_another_spelling(name):
    options = {"peer": "10.1.1.1", "trusted_proxies": PROXIES}
    fields = [*IDENTITY, (name, b"root")]
    assert inbound(fields, identity_headers=[b"x-consumer-id"], **options) == IDENTITY


# -- what anybody says of where a request comes from ----------------------------------------------

ORIGIN = [
    (b"Forwarded", b"for=1.1.1.1"),
    (b"X-Forwarded-Host", b"a"),
    (b"x_forwarded_prefix", b"/a"),
    (b"X-Real-IP", b"1.1.1.1"),
    (b"Client-Cert", b":YQ==:"),
]


def test_origins_are_for_known_proxies_to_tell():
    options = {"drop_untrusted": True, "trusted_proxies": PROXIES}
    assert inbound(ORIGIN, **options) == []
    assert inbound(ORIGIN, peer="10.1.1.1", **options) == ORIGIN
    assert inbound(ORIGIN, trusted=True, **options) == ORIGIN
    assert inbound(ORIGIN) == ORIGIN


def test_the_field_with_the_clients_address_is_one_of_them():
    fields = [(b"CF-Connecting-IP", b"1.1.1.1")]
    options = {"drop_untrusted": True, "trusted_proxies": PROXIES}
    assert inbound(fields, **options) == fields
    options["client_address_header"] = "CF-Connecting-IP"
    assert inbound(fields, **options) == []
    assert inbound(fields, peer="10.1.1.1", **options) == fields


def test_fields_with_rules_of_their_own_go_by_these():
    fields = [(b"X-Forwarded-For", b"1.1.1.1"), (b"X-Forwarded-Proto", b"https")]
    assert inbound(fields, drop_untrusted=True) == fields


# -- Via ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "version", "got"),
    [
        ([], b"1.1", b"1.1 me"),
        ([], b"1.0", b"1.0 me"),
        ([b"1.1 kong/3.10.0"], b"1.1", b"1.1 kong/3.10.0, 1.1 me"),
        ([b"1.0 a (me), 1.1 mean", b"1.1 me"], b"1.1", b"1.0 a (me), 1.1 mean, 1.1 me, 1.1 me"),
    ],
)
def test_via(came, version, got):
    fields = [(b"via", value) for value in came]
    assert inbound(fields, version=version, via="me", max_passes=1) == [(b"Via", got)]


def test_a_circle_is_ended():
    fields = [(b"Via", b"1.1 me, HTTP/1.1 gateway"), (b"Via", b"1.0 me")]
    with pytest.raises(ProtocolError, match="here 2 times") as caught:
        inbound(fields, via="me", max_passes=1)
    assert caught.value.status == 508
    assert inbound(fields, via="me", max_passes=2)
    assert inbound(fields, max_passes=1) == fields


def test_responses_of_backends_have_it_too():
    headers = Headers([(b"Via", b"1.1 kong")])
    marked = forwarding(via="me").marked_response(headers)
    assert marked == [(b"Via", b"1.1 kong"), (b"Via", b"1.1 me")]
    assert forwarding().marked_response(headers) == headers == [(b"Via", b"1.1 kong")]


# -- fields that came before ---------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *(b"Host", b"Connection", b"Cookie", b"X-Real-IP", b"X-Forwarded-For", b"x-forwarded-for"),
        *(b"Via", b"CDN-Loop", b"Grip-Sig", b"eb9bf0f5-A", b"X_Consumer.ID", b"x-consumer-id"),
    ]
)
VALUES = st.sampled_from([b"", b"1.1 me", b"10.0.0.1", b"x-consumer-id, Cookie", b"192.0.2.9, x"])
WAYS = st.tuples(
    st.sampled_from([PEER, "10.0.0.1", "10.0.0.2", ""]),
    st.sampled_from(["http", "https", "wss"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([frozenset(), frozenset((b"x-consumer-id",))]),
    st.sampled_from([b"1.0", b"1.1"]),
)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.lists(WAYS, min_size=2, max_size=8),
    st.sampled_from([(), ("append",), ("truncate:1", "append"), ("truncate:0",)]),
    st.sampled_from(["", "me"]),
)
def test_known_fields_come_in_like_others(fields, ways, x_forwarded_for, via):
    rules = forwarding(
        x_forwarded_for=x_forwarded_for,
        x_forwarded_for_trusted=("append",),
        via=via,
        cdn_loop=via,
        max_passes=100,
        drop_untrusted=True,
        set_x_forwarded_proto="both",
        trusted_proxies=PROXIES,
        original_headers_need_mark=("Cookie",),
    )
    known = KnownHeaders(fields)
    for peer, scheme, trusted, marks, identity, version in ways:
        came = [
            rules.inbound_headers(
                RequestHead(b"GET", b"/", headers, version),
                peer,
                scheme,
                trusted=trusted,
                marks=marks,
                identity_headers=identity,
            )
            for headers in (Headers(fields), known, known)
        ]
        assert came[0] == came[1] == came[2]
    assert known == fields


def test_names_are_remembered_up_to_a_bound_in_number_and_bytes():
    rules = _rules(Forwarded(), frozenset((b"te",)), signed=False, known=False, marks=False)
    for number in range(3_000):
        for name in (b"X-%d" % number, b"Grip-%d-" % number + b"x" * 10_000):
            kept, _ = _kept(SharedHeaders([(name, b"")]), rules, frozenset())
            assert bool(kept) == name.startswith(b"X")
    assert 0 < sum(map(len, rules.fates)) < 100_000
