import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import BackendMisbehaved, ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.wire.http1_client import (
    KnownResponses,
    ResponseParser,
    decode_request_head,
    encode_request_head,
)
from realtime_proxy.wire.http1_rules import parse_request_block


def parse(data, method=b"GET", max_header_bytes=1_000):
    parser = ResponseParser(method, max_header_bytes)
    return parser, parser.feed_head(data)


# -- requests ------------------------------------------------------------------------------


def test_a_request_head_is_written_as_it_is():
    head = RequestHead(b"PUT", b"/a?b", Headers([(b"Host", b"x"), (b"Content-Length", b"3")]))
    assert encode_request_head(head) == b"PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


def test_nothing_can_be_put_into_a_request_head():
    headers = Headers([(b"A", b"b\r\n\r\nGET /admin HTTP/1.1"), (b"C", b"d")])
    head = RequestHead(b"GET", b"/ HTTP/1.1\r\nHost: y\r\n\r\n", headers)
    assert encode_request_head(head) == b"GET / HTTP/1.1 Host: y HTTP/1.1\r\nC: d\r\n\r\n"


@pytest.mark.parametrize(
    "fields", [[], [(b"Host", b"x")], [(b"Host", b"x:1"), (b"A", b""), (b"A", b"b: c")]]
)
def test_a_written_request_head_is_read_again(fields):
    head = RequestHead(b"POST", b"/a?b", Headers(fields))
    assert decode_request_head(encode_request_head(head)) == head


@pytest.mark.parametrize("target", [b"/a b", b"/ HTTP/1.1\r\nHost: y", b""])
def test_a_target_that_is_none_is_found_when_it_is_read_again(target):
    block = encode_request_head(RequestHead(b"GET", target, Headers([(b"Host", b"x")])))
    with pytest.raises(ProtocolError, match="METHOD TARGET"):
        decode_request_head(block)


@given(
    st.lists(
        st.tuples(
            st.text("abcXYZ-_.", min_size=1).map(str.encode),
            st.binary(max_size=9).map(
                lambda raw: bytes(byte for byte in raw if byte > 0x1F and byte != 0x7F).strip()
            ),
        ),
        max_size=9,
    )
)
def test_a_request_head_is_read_as_it_was_written(fields):
    written = encode_request_head(RequestHead(b"GET", b"/x", Headers(fields)))
    assert parse_request_block(written) == (b"GET", b"/x", b"1.1", fields)


# -- responses -----------------------------------------------------------------------------


def test_a_response_comes_apart():
    parser, begun = parse(b"HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 3\r\n\r\nabcX")
    head, body = begun
    assert head == ResponseHead(
        200, b"Fine", Headers([(b"A", b"b"), (b"Content-Length", b"3")]), b"1.1"
    )
    assert parser.length == 3
    assert parser.keep_alive
    assert body.feed(parser.buffer) == b"abc"
    assert body.rest == b"X"


@pytest.mark.parametrize(
    ("data", "status", "reason", "version", "headers"),
    [
        (b"HTTP/1.1 200 OK\nA: b\n\n", 200, b"OK", b"1.1", [(b"A", b"b")]),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", 200, b"OK", b"1.1", [(b"A", b"b")]),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n \t c\r\n\r\n", 200, b"OK", b"1.1", [(b"A", b"b c")]),
        (b"HTTP/1.0 404 \r\nA:b\r\n\r\n", 404, b"", b"1.0", [(b"A", b"b")]),
        (b"HTTP/1.1 200\r\n\r\n", 200, b"", b"1.1", []),
    ],
)
def test_old_spellings_are_understood(data, status, reason, version, headers):
    _, (head, _) = parse(data)
    assert (head.status, head.reason, head.version, head.headers) == (
        status,
        reason,
        version,
        headers,
    )


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 129 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_nonsense_is_refused(data):
    with pytest.raises(BackendMisbehaved):
        parse(data)


def test_interim_responses_are_left_out():
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    parser, begun = parse(interim)
    assert begun is None
    head, _ = parser.feed_head(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert head.status == 204


@pytest.mark.parametrize("step", [1, 10, 100_000])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 2_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 2_000,
        b"x" * 2_000,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: " + b"b" * 2_000 + b"\r\n\r\n",
    ],
)
def test_a_head_may_not_be_too_large(data, step):
    with pytest.raises(BackendMisbehaved, match="too large"):
        whole([data[at : at + step] for at in range(0, len(data), step)])


@pytest.mark.parametrize(
    ("version", "fields", "stays"),
    [
        (b"1.1", b"Content-Length: 3\r\n", True),
        (b"1.1", b"Transfer-Encoding: chunked\r\n", True),
        (b"1.1", b"", False),
        (b"1.1", b"Content-Length: 3\r\nConnection: Close\r\n", False),
        (b"1.0", b"Content-Length: 3\r\n", False),
        (b"1.0", b"Content-Length: 3\r\nConnection: Keep-Alive\r\n", True),
        (b"1.0", b"Content-Length: 3\r\nConnection: Keep-Alive, close\r\n", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", False),
    ],
)
def test_whether_a_backend_connection_stays(version, fields, stays):
    parser, _ = parse(b"HTTP/%b 200 OK\r\n%b\r\n" % (version, fields))
    assert parser.keep_alive is stays


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_responses_without_a_body_are_complete_and_keep_the_connection(method, status):
    parser, (_, body) = parse(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\n" % status, method)
    assert body.complete
    assert parser.keep_alive


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na\n\n\r\nrest",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\r\nab\r\n0\r\n\r\nrest",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\nrest",
]


def whole(pieces):
    parser = ResponseParser(b"GET", 1_000)
    begun, body = None, b""
    for piece in pieces:
        if begun is None:
            begun = parser.feed_head(piece)
            if begun is not None:
                waiting, parser.buffer = parser.buffer, b""
                body += begun[1].feed(waiting)
        else:
            body += begun[1].feed(piece)
    head, reader = begun
    return head, body, reader.complete, reader.rest


@given(data=st.data(), response=st.sampled_from(RESPONSES))
def test_splitting_anywhere_changes_nothing(data, response):
    places = sorted(data.draw(st.lists(st.integers(0, len(response)), max_size=10)))
    edges = [0, *places, len(response)]
    pieces = [response[start:end] for start, end in itertools.pairwise(edges)]
    assert whole(pieces) == whole([response])
    assert whole([response])[3] == b"rest"


# -- other protocols -----------------------------------------------------------------------


def test_a_101_that_was_asked_for_ends_http():
    parser = ResponseParser(b"GET", 1_000, upgrades=True)
    found = parser.feed_head(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81"
    )
    assert found is not None
    assert found[0].status == 101
    assert parser.buffer == b"\x81"
    assert not parser.keep_alive


def test_another_answer_to_such_a_request_is_an_answer():
    parser = ResponseParser(b"GET", 1_000, upgrades=True)
    found = parser.feed_head(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    assert found is not None
    head, body = found
    assert (head.status, body.feed(parser.buffer), parser.keep_alive) == (403, b"no", True)


# -- responses that came before ------------------------------------------------------------


def feed(known, data, method=b"GET", max_header_bytes=1_000):
    parser = ResponseParser(method, max_header_bytes, known)
    head, body = parser.feed_head(data)
    return parser, head, body


def test_a_head_that_came_before_is_not_read_again():
    known = KnownResponses()
    data = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nabc"
    heads = [feed(known, data)[1] for _ in range(4)]
    assert heads[0].headers is not heads[1].headers
    assert heads[1].headers is heads[2].headers is heads[3].headers
    assert heads[1] is not heads[2]  # heads are changed, fields are not
    assert heads[0] == heads[1] == heads[2]
    other = feed(known, data.replace(b"OK", b"Ok"))[1]
    assert (other.reason, other.headers) == (b"Ok", heads[0].headers)


def test_what_a_known_head_means_depends_on_the_request():
    known = KnownResponses()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    for _ in range(3):
        for method, is_over in ((b"GET", False), (b"HEAD", True)):
            _, _, body = feed(known, data, method)
            assert body.complete == is_over


def test_a_known_head_is_refused_as_it_was():
    known = KnownResponses()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"
    for _ in range(3):
        assert feed(known, data, b"HEAD")
        with pytest.raises(BackendMisbehaved, match="given once"):
            feed(known, data)
        with pytest.raises(BackendMisbehaved, match="too large"):
            feed(known, data, b"HEAD", max_header_bytes=len(data) - 1)


def test_fields_of_a_plain_response_are_not_to_be_changed():
    for known in (None, KnownResponses()):
        for _ in range(3):
            _, head, _ = feed(known, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
            with pytest.raises(TypeError):
                head.headers.clear()
