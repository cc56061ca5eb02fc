import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_rules import NO_BODY, Framing, parse_request_block
from realtime_proxy.wire.http1_server import (
    LAST_CHUNK,
    BodyForm,
    HeadLimits,
    KnownRequests,
    RequestParser,
    encode_chunk,
    encode_last_chunk,
    encode_response_head,
    response_form,
)

LIMITS = HeadLimits(max_header_bytes=2_000, max_target_bytes=1_000)


def all_of(data, pieces=None, limits=LIMITS):
    """What a connection's bytes come to: requests with their bodies, and perhaps a refusal."""
    parser = RequestParser(limits)
    reader = None
    found = []
    for piece in pieces or [data]:
        parser.feed(piece)
        while True:
            if reader is not None:
                waiting, parser.buffer = parser.buffer, b""
                found[-1][1] += reader.feed(waiting)
                if not reader.complete:
                    break
                parser.buffer, reader = reader.rest, None
            try:
                request = parser.next_request()
            except ProtocolError as error:
                return [*found, error.status]
            if request is None:
                break
            found.append([request, b""])
            reader = BodyReader(request.framing)
    return found


def cut(data, places):
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def read(known, data, limits=LIMITS):
    """A request that comes on a connection of its own."""
    parser = RequestParser(limits, known)
    parser.feed(data)
    return parser.next_request()


def test_fields_that_came_before_are_not_read_again():
    known = KnownRequests()
    fields = b" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"
    first, second, third, fourth = (
        read(known, line + fields) for line in (b"PUT /1", b"POST /2", b"PUT /3", b"PATCH /4")
    )
    assert first.head.headers is not second.head.headers
    assert third.head.headers is second.head.headers is fourth.head.headers
    asked = [(one.head.method, one.head.target) for one in (first, second, third, fourth)]
    assert asked == [(b"PUT", b"/1"), (b"POST", b"/2"), (b"PUT", b"/3"), (b"PATCH", b"/4")]
    for request in (second, third, fourth):
        request.head.method, request.head.target = b"PUT", b"/1"
        assert request == first
    third.keep_alive = False
    third.head.headers = Headers()
    assert read(known, b"PUT /1" + fields) == first


OTHERS = {
    "another version": (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", False),
    "another case": (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", True),
    "another blank": (b"GET / HTTP/1.1\r\nHost:  a\r\n\r\n", True),
    "one field more": (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
    "another host": (b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", True),
}


@pytest.mark.parametrize("other", OTHERS)
def test_only_the_same_bytes_are_known(other):
    known = KnownRequests()
    for _ in range(3):
        request = read(known, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    data, keep_alive = OTHERS[other]
    found = read(known, data)
    assert found.head.headers is not request.head.headers
    assert found == read(None, data)
    assert found.keep_alive == keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"x" * 1_001 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".replace(b"a", b"a" * 2_000),
    ],
)
def test_known_fields_excuse_nothing(data):
    known = KnownRequests()
    for _ in range(3):
        read(known, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ProtocolError):
            read(known, data)


def test_what_is_refused_is_not_remembered():
    known = KnownRequests()
    for _ in range(3):
        for fields in (b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nA : b\r\n"):
            with pytest.raises(ProtocolError):
                read(known, b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
    assert len(known) == 0


def test_fields_of_a_request_are_not_to_be_changed():
    for known in (None, KnownRequests()):
        for line in (b"GET / HTTP/1.1", b"GET http://b/ HTTP/1.1"):
            for _ in range(3):
                request = read(known, line + b"\r\nHost: a\r\n\r\n")
                with pytest.raises(TypeError):
                    request.head.headers.append((b"A", b"b"))


def test_a_whole_uri_says_which_host_is_meant():
    [[request, _]] = all_of(b"GET http://b:80/c HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n")
    assert (request.host, request.head.target) == (b"b:80", b"/c")
    assert request.head.headers == [(b"X", b"1"), (b"Host", b"b:80")]
    [[request, _]] = all_of(b"GET http://b HTTP/1.0\r\n\r\n")
    assert (request.host, request.head.target) == (b"b", b"/")
    assert request.head.headers == [(b"Host", b"b")]


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n"])
def test_a_whole_uri_does_not_make_up_for_the_host_field(hosts):
    assert all_of(b"GET http://b/ HTTP/1.1\r\n" + hosts + b"\r\n") == [400]


# -- one request ---------------------------------------------------------------------------


def test_a_request_has_everything_that_its_head_says():
    [[request, body]] = all_of(b"POST /a?b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 3\r\n\r\nabc")
    assert request.head.method == b"POST"
    assert request.head.target == b"/a?b"
    assert request.head.version == b"1.1"
    assert request.head.headers == [(b"Host", b"x:80"), (b"Content-Length", b"3")]
    assert request.host == b"x:80"
    assert request.framing == Framing(3)
    assert request.keep_alive
    assert not request.expects_continue
    assert body == b"abc"


def test_requests_follow_each_other():
    first = b"POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    second = b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
    found = all_of(first + second + b"GET")
    assert [(request.head.target, body) for request, body in found] == [(b"/1", b"a"), (b"/2", b"")]


def test_empty_lines_before_a_request_are_skipped():
    [[request, _]] = all_of(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert request.head.target == b"/"


def test_nothing_but_empty_lines_is_no_request_yet():
    parser = RequestParser(LIMITS)
    parser.feed(b"\r\n" * 5_000)
    assert parser.next_request() is None
    assert parser.buffer == b""


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: x, close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_a_connection_stays(version, connection, stays):
    [[request, _]] = all_of(b"GET / HTTP/%b\r\nHost: x\r\n%b\r\n" % (version, connection))
    assert request.keep_alive is stays


@pytest.mark.parametrize(
    ("version", "fields", "expects"),
    [
        (b"1.1", b"Content-Length: 3\r\nExpect: 100-Continue\r\n", True),
        (b"1.1", b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", True),
        (b"1.1", b"Expect: 100-continue\r\n", False),
        (b"1.1", b"Content-Length: 3\r\nExpect: other\r\n", False),
        (b"1.0", b"Content-Length: 3\r\nExpect: 100-continue\r\n", False),
    ],
)
def test_whether_a_client_waits_to_be_asked_for_its_body(version, fields, expects):
    parser = RequestParser(LIMITS)
    parser.feed(b"POST / HTTP/%b\r\nHost: x\r\n%b\r\n" % (version, fields))
    assert parser.next_request().expects_continue is expects


def test_on_our_own_ports_a_host_is_optional():
    parser = RequestParser(LIMITS, host_optional=True)
    parser.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert parser.next_request().host == b""


# -- limits: the same in one piece and in many ---------------------------------------------


def request_of(target_bytes=1, filler_bytes=0):
    line = b"GET /" + b"a" * (target_bytes - 1) + b" HTTP/1.1\r\n"
    return line + b"Host: x\r\nA: " + b"b" * filler_bytes + b"\r\n\r\n"


def request_with_head_of(size):
    return request_of(filler_bytes=size - len(request_of()))


SIZES = {
    "target that just fits": (request_of(1_000), None),
    "target one too long": (request_of(1_001), 414),
    "target far too long": (request_of(1_900), 414),
    "target longer than a head may be": (request_of(9_000), 414),
    "line without an end": (b"GET /" + b"a" * 9_000, 414),
    "head that just fits": (request_with_head_of(2_000), None),
    "head one too long": (request_with_head_of(2_001), 431),
    "head far too long": (request_with_head_of(9_000), 431),
    "head without an end": (request_with_head_of(9_000)[:-4], 431),
    "target too long, then fields too long": (request_of(1_500, 5_000), 414),
}


@pytest.mark.parametrize("step", [1, 7, 1_000, 1_000_000])
@pytest.mark.parametrize("name", SIZES)
def test_limits_hold_however_a_head_arrives(name, step):
    data, status = SIZES[name]
    found = all_of(data, [data[at : at + step] for at in range(0, len(data), step)])
    if status is None:
        assert len(found) == 1
    else:
        assert found == [status]


@pytest.mark.parametrize("step", [1, 1_000_000])
def test_a_target_limit_beyond_the_limit_of_the_head_says_nothing(step):
    data = request_of(5_000)
    limits = HeadLimits(max_header_bytes=1_000, max_target_bytes=1_000)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert all_of(data, pieces, limits) == [431]


def test_a_refusal_names_the_limit():
    parser = RequestParser(LIMITS)
    parser.feed(request_of(1_001))
    with pytest.raises(ProtocolError, match="1000 bytes"):
        parser.next_request()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"\nGET",
        b"\x16\x03\x01\x02",
        b" GET",
        b"\rG",
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_what_can_not_become_a_request_is_refused_before_its_end(data, step):
    assert all_of(data, [data[at : at + step] for at in range(0, len(data), step)]) == [400]


# -- split anywhere ------------------------------------------------------------------------

NEXT = b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMS = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.0\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\n\r\nb" + NEXT,
    CHUNKED_HEAD + b"3;x=y\r\na\r\n\r\n00A\r\n0123456789\r\n0\r\nA: b\r\n\r\n" + NEXT,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/3.0\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\nG\x00T / HTTP/1.1\r\n\r\n",
]


@given(data=st.data(), stream=st.sampled_from(STREAMS))
def test_splitting_anywhere_changes_nothing(data, stream):
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert all_of(stream, cut(stream, places)) == all_of(stream)


@pytest.mark.parametrize("stream", STREAMS)
def test_byte_by_byte_is_the_same(stream):
    assert all_of(stream, cut(stream, range(1, len(stream)))) == all_of(stream)


# -- responses -----------------------------------------------------------------------------


def request_head(method=b"GET", version=b"1.1"):
    return RequestHead(method, b"/", Headers(), version)


@pytest.mark.parametrize(
    ("request_", "status", "length", "form"),
    [
        (request_head(), 200, 3, BodyForm.LENGTH),
        (request_head(), 200, 0, BodyForm.LENGTH),
        (request_head(), 200, None, BodyForm.CHUNKED),
        (request_head(version=b"1.0"), 200, None, BodyForm.CLOSE),
        (request_head(version=b"1.0"), 200, 3, BodyForm.LENGTH),
        (request_head(b"HEAD"), 200, 3, BodyForm.NONE),
        (request_head(), 204, None, BodyForm.NONE),
        (request_head(), 304, 3, BodyForm.NONE),
        (request_head(), 101, None, BodyForm.NONE),
    ],
)
def test_how_the_end_of_a_body_is_marked(request_, status, length, form):
    assert response_form(request_, status, length) == form


@pytest.mark.parametrize(
    ("status", "form", "length", "options", "lines"),
    [
        (200, BodyForm.LENGTH, 3, {}, [b"Content-Length: 3"]),
        (200, BodyForm.LENGTH, 0, {}, [b"Content-Length: 0"]),
        (
            200,
            BodyForm.CHUNKED,
            None,
            {},
            [b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding"],
        ),
        (
            200,
            BodyForm.CHUNKED,
            None,
            {"keep_alive": False},
            [b"Transfer-Encoding: chunked", b"Connection: close"],
        ),
        (200, BodyForm.CLOSE, None, {"keep_alive": False}, [b"Connection: close"]),
        (200, BodyForm.NONE, 3, {}, [b"Content-Length: 3"]),
        (304, BodyForm.NONE, 3, {}, [b"Content-Length: 3"]),
        (200, BodyForm.NONE, None, {}, []),
        (204, BodyForm.NONE, 0, {}, []),
        (101, BodyForm.NONE, 0, {}, []),
        (
            200,
            BodyForm.LENGTH,
            3,
            {"old_client": True},
            [b"Content-Length: 3", b"Connection: keep-alive"],
        ),
    ],
)
def test_a_response_head_tells_its_framing(status, form, length, options, lines):
    head = ResponseHead(status, b"Because", Headers([(b"A", b"b")]))
    written = encode_response_head(head, form, length, **{"keep_alive": True, **options})
    assert written.split(b"\r\n") == [b"HTTP/1.1 %d Because" % status, b"A: b", *lines, b"", b""]


def test_nothing_can_be_put_into_a_response_head():
    headers = Headers([(b"A", b"b\r\n\r\n<script>"), (b"C\r\nD", b"e"), (b"F", b"g")])
    head = ResponseHead(200, b"OK\r\nSet-Cookie: x", headers)
    written = encode_response_head(head, BodyForm.LENGTH, 0, keep_alive=True)
    assert written == b"HTTP/1.1 200 OK Set-Cookie: x\r\nF: g\r\nContent-Length: 0\r\n\r\n"


def test_chunks():
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_last_chunk(Headers()) == LAST_CHUNK
    trailers = Headers([(b"A", b"b"), (b"C", b"d\r\n\r\nGET / HTTP/1.1")])
    assert encode_last_chunk(trailers) == b"0\r\nA: b\r\n\r\n"


FIELDS = st.lists(
    st.tuples(
        st.text("abcXYZ-_.!#09", min_size=1).map(str.encode),
        st.text('abc \t:;,"é\x80', max_size=20).map(lambda text: text.strip(" \t").encode()),
    ),
    max_size=8,
)


@given(fields=FIELDS, reason=st.text("abc ", max_size=9).map(str.encode))
def test_a_response_head_is_read_as_it_was_written(fields, reason):
    written = encode_response_head(
        ResponseHead(299, reason, Headers(fields)), BodyForm.NONE, None, keep_alive=True
    )
    line, _, rest = written.partition(b"\r\n")
    assert line == b"HTTP/1.1 299 " + reason
    assert parse_request_block(b"GET / HTTP/1.1\r\n" + rest)[3] == fields


@given(parts=st.lists(st.binary(max_size=40)), trailers=FIELDS.map(lambda found: found[:2]))
def test_a_chunked_body_is_read_as_it_was_written(parts, trailers):
    written = b"".join(map(encode_chunk, parts)) + encode_last_chunk(Headers(trailers))
    reader = BodyReader(Framing(None, chunked=True))
    assert reader.feed(written + b"next") == b"".join(parts)
    assert reader.complete
    assert reader.rest == b"next"
    assert [(name.lower(), value) for name, value in trailers] == reader.trailers


def test_no_body_is_complete_at_once():
    assert BodyReader(NO_BODY).complete
