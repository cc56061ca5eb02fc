"""What our parsers accept, h11 reports as the same: they are at most stricter, never different."""

import itertools

import h11
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from realtime_proxy.errors import BackendMisbehaved, ProtocolError
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_client import KnownResponses, ResponseParser
from realtime_proxy.wire.http1_rules import Framing
from realtime_proxy.wire.http1_server import HeadLimits, KnownRequests, RequestParser
from realtime_proxy.wire.request_target import absolute_form

LIMITS = HeadLimits(max_header_bytes=100_000, max_target_bytes=50_000)

# -- what is put in ------------------------------------------------------------------------


def mostly(usual, *others):
    """The usual element in most cases, so that chance leads beyond it."""
    return st.sampled_from([*[usual] * 3 * len(others), *others])


METHODS = mostly(b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"X-!#")
TARGETS = mostly(b"/", b"/a/b?c=d&e", b"*", b"//", b"/%00", b"/{|}", b"a:443", b"http://b:1/c?d")
VERSIONS = mostly(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1")
NAMES = mostly(b"A", b"Connection", b"Expect", b"Cookie", b"X_y.z", b"Host", b"A b", b"", b"A\t")
VALUES = st.one_of(
    st.sampled_from([b"", b"x", b"close", b"keep-alive", b"100-continue", b"a, b", b" \t x \t "]),
    st.binary(max_size=6),
)
FRAMING = st.sampled_from(
    [
        b"Content-Length: 3",
        b"content-length: 003",
        b"Content-Length: 3, 3",
        b"Content-Length: +3",
        b"Content-Length:",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding:",
    ]
)
SEPARATORS = mostly(b": ", b":", b" : ", b":\t", b"\r\n ")
FIELDS = st.one_of(
    FRAMING,
    st.tuples(NAMES, SEPARATORS, VALUES).map(b"".join),
)
HEADS = st.builds(
    lambda method, target, version, fields: b"\r\n".join(
        (b" ".join((method, target, version)), *fields, b"", b"")
    ),
    METHODS,
    TARGETS,
    VERSIONS,
    st.lists(FIELDS, max_size=3).map(lambda fields: [b"Host: a", *fields]),
)
VALID = [
    b"GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET http://b.example:1/c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nX-Empty:\r\n\r\n",
]
BYTES = st.sampled_from(sorted({*b"\r\n\t\0 :,;/*HT1.0abchunked\x0b\x7f\x80\xff+-_\"'"}))


@st.composite
def mutated(draw, valid):
    """A valid message with a few bytes put in, taken out, changed or doubled."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                data.insert(at, draw(BYTES))
            case 1:
                del data[at : at + draw(st.integers(1, 3))]
            case 2:
                data[at] = draw(BYTES)
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 30))]
        data = data or bytearray(b"\r\n")
    return bytes(data)


# -- requests ------------------------------------------------------------------------------


# Of all examples, which have much in common.
KNOWN_REQUESTS, KNOWN_RESPONSES = KnownRequests(), KnownResponses()


def read_request(data, known=None):
    """What our parser makes of the bytes, and what is left of them; or why it refuses them."""
    parser = RequestParser(LIMITS, known)
    parser.feed(data)
    try:
        return parser.next_request(), parser.buffer
    except ProtocolError as error:
        return error.status, str(error)


def read_response(data, known=None):
    """Likewise; the reader of the body by what it waits for."""
    parser = ResponseParser(b"GET", 100_000, known)
    try:
        begun = parser.feed_head(data)
    except BackendMisbehaved as error:
        return str(error)
    kept = begun and (begun[0], begun[1].left, begun[1].complete)
    return kept, parser.buffer, parser.keep_alive, parser.length


def h11_request(data):
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
    machine.receive_data(data)
    request = machine.next_event()
    assert isinstance(request, h11.Request)
    return machine, request


def assert_same_request(data):
    """If ours accepts a request in these bytes, h11 reads the same one. Tells what ours did."""
    ours, rest = read_request(data)
    for _ in range(3):  # it may be known by then
        assert read_request(data, KNOWN_REQUESTS) == (ours, rest)
    if isinstance(ours, int):
        return f"refused with {ours}"
    if ours is None:
        return "incomplete"
    data = data[: len(data) - len(rest)]
    while data.startswith(b"\r\n"):  # which h11 does not skip
        data = data[2:]
    machine, theirs = h11_request(data)
    assert ours.head.method == theirs.method
    our_headers, their_headers = ours.head.headers, list(theirs.headers)
    if absolute := absolute_form(theirs.method, theirs.target):
        assert absolute == (ours.host, ours.head.target)
        *our_headers, host = our_headers
        assert host == (b"Host", ours.host)
        their_headers = [field for field in their_headers if field[0] != b"host"]
    else:
        assert ours.head.target == theirs.target
    assert ours.head.version == theirs.http_version
    # h11 writes the names of framing fields in one way, and lengths without zeros in front.
    assert [name.lower() for name, _ in our_headers] == [name for name, _ in their_headers]
    for (name, mine), (_, value) in zip(our_headers, their_headers, strict=True):
        if name.lower() == b"content-length":
            assert int(mine) == int(value)
        elif name.lower() == b"transfer-encoding":
            assert mine.lower() == value
        else:
            assert mine == value
    assert ours.expects_continue == (
        machine.they_are_waiting_for_100_continue and ours.framing.has_body
    )
    following = machine.next_event()
    ends_at_once = isinstance(following, h11.EndOfMessage)
    assert ends_at_once != ours.framing.has_body
    if ends_at_once and ours.head.version == b"1.1":  # h11 never keeps a connection of HTTP/1.0
        assert ours.keep_alive == (machine.their_state is not h11.MUST_CLOSE)
    return "accepted"


@settings(max_examples=400)
@given(HEADS)
def test_made_up_requests(data):
    event(assert_same_request(data))


@settings(max_examples=400)
@given(mutated(VALID))
def test_mutated_requests(data):
    event(assert_same_request(data))


@pytest.mark.parametrize("data", VALID)
def test_the_valid_ones_are_accepted(data):
    assert assert_same_request(data) == "accepted"


# -- bodies --------------------------------------------------------------------------------

CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = [
    b"3\r\nabc\r\n0\r\n\r\n",
    b"3;name=value\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n",
    b"000a\r\n0123456789\r\n0;x\r\n\r\n",
    b"0\r\n\r\n",
]


def h11_body(head, data):
    """Body, trailers and rest by h11, or None if it refuses; rest None while incomplete."""
    machine, _ = h11_request(head)
    body = b""
    try:
        if data:  # h11 takes no bytes for the end of input
            machine.receive_data(data)
        while isinstance(following := machine.next_event(), h11.Data):
            body += following.data
    except h11.RemoteProtocolError:
        return None
    if isinstance(following, h11.EndOfMessage):
        return body, list(following.headers), machine.trailing_data[0]
    return body, [], None


def our_body(framing, data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    reader = BodyReader(framing)
    body = b""
    try:
        for start, end in itertools.pairwise(edges):
            body += reader.feed(data[start:end])
    except ProtocolError:
        return None
    return body, list(reader.trailers), reader.rest if reader.complete else None


PLACES = st.lists(st.integers(0, 200), max_size=8)


@settings(max_examples=400)
@given(mutated([body + b"next" for body in CHUNKED]), PLACES)
def test_chunked_bodies_split_anywhere(data, places):
    ours = our_body(Framing(None, chunked=True), data, places)
    event("refused" if ours is None else "complete" if ours[2] is not None else "incomplete")
    assert ours == h11_body(CHUNKED_HEAD, data)


@given(st.binary(max_size=40), st.integers(1, 30), PLACES)
def test_bodies_by_length_split_anywhere(data, length, places):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
    assert our_body(Framing(length), data, places) == h11_body(head, data)


# -- responses -----------------------------------------------------------------------------

RESPONSES = [
    b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200\r\nA:b\r\n\r\nabc",
    b"HTTP/1.1 200 OK\nA: b\n folded\n\nabc",
    b"HTTP/1.1 204 No Content\r\nA: \t b \t \r\n\r\n",
]


@settings(max_examples=400)
@given(mutated(RESPONSES))
def test_mutated_responses(data):
    for _ in range(3):  # it may be known by then
        assert read_response(data, KNOWN_RESPONSES) == read_response(data)
    parser = ResponseParser(b"GET", 100_000)
    try:
        begun = parser.feed_head(data)
    except BackendMisbehaved:
        event("refused")
        return
    if begun is None:
        event("incomplete")
        return
    event("accepted")
    head, _ = begun
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    machine.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    machine.send(h11.EndOfMessage())
    machine.receive_data(data)
    theirs = machine.next_event()
    while isinstance(theirs, h11.InformationalResponse):
        theirs = machine.next_event()
    assert isinstance(theirs, h11.Response)
    assert (head.status, head.reason) == (theirs.status_code, theirs.reason)
    assert head.version == theirs.http_version
    assert [name.lower() for name, _ in head.headers] == [name for name, _ in theirs.headers]
    for (name, mine), (_, value) in zip(head.headers, theirs.headers, strict=True):
        if name.lower() not in {b"content-length", b"transfer-encoding"}:
            assert mine == value
