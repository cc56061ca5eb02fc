import pytest

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.shared_headers import KnownHeaders, SharedHeaders
from realtime_proxy.wire.http1_rules import (
    CHUNKED,
    MAX_FIELDS,
    NO_BODY,
    UNTIL_CLOSE,
    Framing,
    check_host,
    checked,
    content_length,
    encode_fields,
    encode_head,
    has_bare_lf,
    is_field_name,
    is_field_value,
    known,
    parse_request_block,
    parse_response_block,
    request_framing,
    response_framing,
)


def head(*lines):
    return b"\r\n".join((*lines, b"", b""))


# -- request heads -------------------------------------------------------------------------

ACCEPTED = {
    "plain": (head(b"GET / HTTP/1.1", b"Host: a"), (b"GET", b"/", b"1.1", [(b"Host", b"a")])),
    "old": (head(b"GET / HTTP/1.0"), (b"GET", b"/", b"1.0", [])),
    "any token is a method": (head(b"M-SEARCH!x / HTTP/1.1"), (b"M-SEARCH!x", b"/", b"1.1", [])),
    "options of the server": (head(b"OPTIONS * HTTP/1.1"), (b"OPTIONS", b"*", b"1.1", [])),
    "target as it was written": (
        head(b'GET //a/../%2e?x={}|"^`\\# HTTP/1.1'),
        (b"GET", b'//a/../%2e?x={}|"^`\\#', b"1.1", []),
    ),
    "blanks around a value": (
        head(b"GET / HTTP/1.1", b"A: \t b c\t ", b"B:", b"C:d"),
        (b"GET", b"/", b"1.1", [(b"A", b"b c"), (b"B", b""), (b"C", b"d")]),
    ),
    "bytes over 127 and tabs in a value": (
        head(b"GET / HTTP/1.1", b"A: \xff\x80\tx"),
        (b"GET", b"/", b"1.1", [(b"A", b"\xff\x80\tx")]),
    ),
    "a colon in a value": (
        head(b"GET / HTTP/1.1", b"A: b: c"),
        (b"GET", b"/", b"1.1", [(b"A", b"b: c")]),
    ),
    "as many fields as may be": (
        head(b"GET / HTTP/1.1", *[b"A: b"] * MAX_FIELDS),
        (b"GET", b"/", b"1.1", [(b"A", b"b")] * MAX_FIELDS),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_head_comes_apart(name):
    block, expected = ACCEPTED[name]
    assert parse_request_block(block) == expected


REFUSED = {
    "nothing": (400, head(b""), "request line"),
    "no target": (400, head(b"GET HTTP/1.1"), "request line"),
    "no version": (400, head(b"GET /"), "request line"),
    "two blanks": (400, head(b"GET  / HTTP/1.1"), "request line"),
    "blank at the end": (400, head(b"GET / HTTP/1.1 "), "request line"),
    "blank in the target": (400, head(b"GET /a b HTTP/1.1"), "request line"),
    "tab for blank": (400, head(b"GET\t/\tHTTP/1.1"), "request line"),
    "not a token": (400, head(b"G(T / HTTP/1.1"), "request line"),
    "lower-case version": (400, head(b"GET / http/1.1"), "request line"),
    "no number": (400, head(b"GET / HTTP/1.x"), "request line"),
    "another protocol": (400, head(b"GET / ICY/1.1"), "request line"),
    "version 2": (505, head(b"GET / HTTP/2.0"), "HTTP/1.0 and HTTP/1.1"),
    "version 0.9": (505, head(b"GET / HTTP/0.9"), "HTTP/1.0 and HTTP/1.1"),
    "version 1.2": (505, head(b"GET / HTTP/1.2"), "HTTP/1.0 and HTTP/1.1"),
    "preface of HTTP/2": (505, head(b"PRI * HTTP/2.0"), "HTTP/1.0 and HTTP/1.1"),
    "high byte in the target": (400, head(b"GET /\xff HTTP/1.1"), "target has characters"),
    "control character in the target": (400, head(b"GET /\x01 HTTP/1.1"), "target has characters"),
    "tunnel": (501, head(b"CONNECT a:443 HTTP/1.1"), "CONNECT"),
    "tunnel to a path": (501, head(b"CONNECT / HTTP/1.1"), "CONNECT"),
    "folded": (400, head(b"GET / HTTP/1.1", b"A: b", b" c"), "folded"),
    "folded with a tab": (400, head(b"GET / HTTP/1.1", b"A: b", b"\tc"), "folded"),
    "folded at once": (400, head(b"GET / HTTP/1.1", b" A: b"), "folded"),
    "no colon": (400, head(b"GET / HTTP/1.1", b"A"), "no valid name"),
    "no name": (400, head(b"GET / HTTP/1.1", b": b"), "no valid name"),
    "blank before the colon": (400, head(b"GET / HTTP/1.1", b"Host : b"), "no valid name"),
    "high byte in a name": (400, head(b"GET / HTTP/1.1", b"\xe9: b"), "no valid name"),
    "NUL in a value": (400, head(b"GET / HTTP/1.1", b"A: \x00"), "field A has control"),
    "bare CR in a value": (400, head(b"GET / HTTP/1.1", b"A: b\rc"), "field A has control"),
    "DEL in a value": (400, head(b"GET / HTTP/1.1", b"A: \x7f"), "field A has control"),
    "vertical tab in a value": (400, head(b"GET / HTTP/1.1", b"A: \x0b"), "field A has control"),
    "bare LF": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n", "CR LF"),
    "bare LF in a field": (400, b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", "CR LF"),
    "too many fields": (431, head(b"GET / HTTP/1.1", *[b"A: b"] * (MAX_FIELDS + 1)), "fields"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_head_says_what_is_wrong_with_it(name):
    status, block, why = REFUSED[name]
    with pytest.raises(ProtocolError, match=why) as caught:
        parse_request_block(block)
    assert caught.value.status == status


# -- what a body's length is said to be ----------------------------------------------------


def fields(*pairs):
    return Headers(pairs)


LENGTH = b"Content-Length"
CODING = b"Transfer-Encoding"


@pytest.mark.parametrize(
    ("version", "headers", "framing"),
    [
        (b"1.1", fields(), NO_BODY),
        (b"1.1", fields((LENGTH, b"0")), NO_BODY),
        (b"1.1", fields((b"content-LENGTH", b"12")), Framing(12)),
        (b"1.0", fields((LENGTH, b"12")), Framing(12)),
        (b"1.1", fields((LENGTH, b"9" * 18)), Framing(int("9" * 18))),
        (b"1.1", fields((b"transfer-ENCODING", b"Chunked")), CHUNKED),
    ],
)
def test_framing_of_requests(version, headers, framing):
    assert request_framing(version, headers) == framing
    assert framing.has_body == (framing != NO_BODY)


@pytest.mark.parametrize(
    ("status", "version", "headers"),
    [
        (400, b"1.1", fields((LENGTH, b"1"), (LENGTH, b"2"))),
        (400, b"1.1", fields((LENGTH, b"1"), (LENGTH, b"1"))),
        (400, b"1.1", fields((LENGTH, b"1, 1"))),
        (400, b"1.1", fields((LENGTH, b""))),
        (400, b"1.1", fields((LENGTH, b"-1"))),
        (400, b"1.1", fields((LENGTH, b"+1"))),
        (400, b"1.1", fields((LENGTH, b"1 "))),
        (400, b"1.1", fields((LENGTH, b"0x1"))),
        (400, b"1.1", fields((LENGTH, b"1_0"))),
        (400, b"1.1", fields((LENGTH, b"\xb2"))),
        (400, b"1.1", fields((LENGTH, b"9" * 19))),
        (400, b"1.1", fields((LENGTH, b"1"), (CODING, b"chunked"))),
        (400, b"1.1", fields((LENGTH, b"0"), (CODING, b"chunked"))),
        (400, b"1.0", fields((CODING, b"chunked"))),
        (400, b"1.1", fields((CODING, b""))),
        (400, b"1.1", fields((CODING, b"chunked, chunked"))),
        (400, b"1.1", fields((CODING, b"chunked"), (CODING, b"chunked"))),
        (400, b"1.1", fields((CODING, b"chunked,"))),
        (400, b"1.1", fields((CODING, b"chunked"), (CODING, b""))),
        (501, b"1.1", fields((CODING, b"gzip"))),
        (501, b"1.1", fields((CODING, b"gzip, chunked"))),
        (501, b"1.1", fields((CODING, b"chunked"), (CODING, b"identity"))),
        (501, b"1.1", fields((CODING, b"xchunked"))),
        (501, b"1.1", fields((CODING, b"chunked;a=b"))),
    ],
)
def test_refused_framing_of_requests(status, version, headers):
    with pytest.raises(ProtocolError) as caught:
        request_framing(version, headers)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("method", "status", "version", "headers", "framing"),
    [
        (b"GET", 200, b"1.1", fields(), UNTIL_CLOSE),
        (b"GET", 200, b"1.0", fields(), UNTIL_CLOSE),
        (b"GET", 200, b"1.1", fields((LENGTH, b"3")), Framing(3)),
        (b"GET", 200, b"1.1", fields((LENGTH, b"0")), NO_BODY),
        (b"GET", 200, b"1.1", fields((CODING, b"CHUNKED")), CHUNKED),
        (b"HEAD", 200, b"1.1", fields((LENGTH, b"3")), NO_BODY),
        (b"HEAD", 200, b"1.1", fields((CODING, b"chunked")), NO_BODY),
        (b"GET", 204, b"1.1", fields(), NO_BODY),
        (b"GET", 304, b"1.1", fields((LENGTH, b"3")), NO_BODY),
        (b"GET", 103, b"1.1", fields((LENGTH, b"3")), NO_BODY),
    ],
)
def test_framing_of_responses(method, status, version, headers, framing):
    assert response_framing(status, version, headers, answers_head=method == b"HEAD") == framing


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (b"1.1", fields((LENGTH, b"3"), (CODING, b"chunked"))),
        (b"1.1", fields((LENGTH, b"3"), (LENGTH, b"4"))),
        (b"1.1", fields((CODING, b"gzip, chunked"))),
        (b"1.1", fields((CODING, b"chunked"), (CODING, b"chunked"))),
        (b"1.0", fields((CODING, b"chunked"))),
    ],
)
def test_contradictions_of_responses(version, headers):
    with pytest.raises(ProtocolError):
        response_framing(200, version, headers, answers_head=False)


def test_a_length_that_is_not_told_is_none():
    assert content_length(fields()) is None


# -- Host ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [b"a", b"a.example:80", b"[::1]:443", b"[::1]", b"127.0.0.1", b"", b"a:", b"x_y~%41"]
)
def test_a_host_is_given_back(host):
    assert check_host(b"1.1", fields((b"HOST", host))) == host


def test_an_old_client_need_not_name_a_host():
    assert check_host(b"1.0", fields()) == b"localhost"


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (b"1.1", fields()),
        (b"1.1", fields((b"Host", b"a"), (b"Host", b"a"))),
        (b"1.0", fields((b"Host", b"a"), (b"Host", b"b"))),
        *(
            (b"1.1", fields((b"Host", host)))
            for host in (
                b"a b",
                b"a/b",
                b"user@a",
                b"a:x",
                b"[::1",
                b"a:1:2",
                b"a?b",
                b"\xe9",
                b"a\\b",
            )
        ),
    ],
)
def test_a_refused_host(version, headers):
    with pytest.raises(ProtocolError, match="Host") as caught:
        check_host(version, headers)
    assert caught.value.status == 400


# -- response heads ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (head(b"HTTP/1.1 200 OK", b"A: b"), (200, b"OK", b"1.1", [(b"A", b"b")])),
        (head(b"HTTP/1.0 404 Not Found"), (404, b"Not Found", b"1.0", [])),
        (head(b"HTTP/1.1 999"), (999, b"", b"1.1", [])),
        (head(b"HTTP/1.1 200 "), (200, b"", b"1.1", [])),
        (head(b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9"), (200, b"\xc3\xa9t\xc3\xa9", b"1.1", [])),
    ],
)
def test_a_plain_response_head_comes_apart(block, expected):
    assert parse_response_block(block) == expected


@pytest.mark.parametrize(
    "block",
    [
        head(b"HTTP/1.1 099 Low"),
        head(b"HTTP/1.1 20 Short"),
        head(b"HTTP/1.1 2000 Long"),
        head(b"HTTP/2 200 OK"),
        head(b"HTTP/1.1  200 OK"),
        head(b"HTTP/1.1 200 O\x00K"),
        head(b"HTTP/1.1 200 OK", b"A b"),
        head(b"HTTP/1.1 200 OK", b"A: b", b" folded"),
        b"HTTP/1.1 200 OK\nA: b\n\n",
    ],
)
def test_other_response_heads_are_left_to_others(block):
    assert parse_response_block(block) is None


def test_a_response_may_not_have_too_many_fields_either():
    with pytest.raises(ProtocolError, match="fields"):
        parse_response_block(head(b"HTTP/1.1 200 OK", *[b"A: b"] * (MAX_FIELDS + 1)))


# -- writing -------------------------------------------------------------------------------


def test_a_head_is_written_line_by_line():
    written = encode_head(b"GET / HTTP/1.1", [(b"A", b"b"), (b"C", b"")], b"D: e")
    assert written == b"GET / HTTP/1.1\r\nA: b\r\nC: \r\nD: e\r\n\r\n"
    assert encode_head(b"0", []) == b"0\r\n\r\n"


# What keeps fields; each is written twice, as the first time may be remembered.
KINDS = {
    "a list": lambda fields: fields,
    "own fields": Headers,
    "shared": SharedHeaders,
    "known": KnownHeaders,
    "seldom written": lambda fields: checked(Headers(fields)),
    "often written": lambda fields: known(Headers(fields)),
    "of parts": lambda fields: KnownHeaders(fields[:1]).plus(SharedHeaders(fields[1:])),
    "of checked parts": lambda fields: checked(fields[:1]).plus(checked(fields[1:])),
    "of a changed copy": lambda fields: SharedHeaders.of(
        Headers([*checked(fields[:1]), *fields[1:]])
    ),
    "lacking one": lambda fields: checked([*fields, (b"X", b"y")]).lacking(frozenset((b"x",))),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "field",
    [
        (b"A", b"b\r\nInjected: c"),
        (b"A", b"b\r\n\r\nbody"),
        (b"A", b"b\nInjected: c"),
        (b"A", b"b\rInjected: c"),
        (b"A", b"b\x00"),
        (b"A\r\nInjected", b"c"),
        (b"A: b\r\nInjected", b"c"),
        (b"Content-Length ", b"7"),
        (b" A", b"b"),
        (b"A:", b"b"),
        (b"Content-Length: 5, a", b"b"),
        (b"", b"b"),
        (b"\xe9", b"b"),
    ],
)
def test_what_is_no_field_is_not_written(field, kind):
    fields = KINDS[kind]([(b"First", b"1"), field, (b"Last", b"2")])
    for _ in range(2):
        written = encode_head(b"HTTP/1.1 200 OK", fields, b"Own: 3")
        assert written == b"HTTP/1.1 200 OK\r\nFirst: 1\r\nLast: 2\r\nOwn: 3\r\n\r\n"


def test_lines_alone_have_nothing_else_either():
    written = encode_fields([(b"Meta-X", b"1"), (b"A", b"b\r\nC: d"), (b"Meta-Y", b"")])
    assert written == b"Meta-X: 1\r\nMeta-Y: \r\n"
    assert encode_fields([]) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_all_kinds_are_written_alike(kind):
    fields = KINDS[kind]([(b"A", b"1"), (b"B", b""), (b"a", b"2")])
    for start in (b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1"):
        assert encode_head(start, fields) == start + b"\r\nA: 1\r\nB: \r\na: 2\r\n\r\n"


def test_what_may_be_written_is_known_to_be_fields():
    assert checked(Headers([(b"A", b"b")])).is_checked
    assert known(Headers([(b"A", b"b")])).is_checked
    for field in ((b"A ", b"b"), (b"A", b"b\n"), (b"", b"")):
        assert not checked(Headers([(b"A", b"b"), field])).is_checked
        assert not known(Headers([(b"A", b"b"), field])).is_checked


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\n\r\n"])
def test_a_start_line_stays_one_line(end):
    written = encode_head(b"HTTP/1.1 200 OK" + end + b"Injected: a", [(b"B", b"c")])
    assert written == b"HTTP/1.1 200 OK Injected: a\r\nB: c\r\n\r\n"


def test_names_and_values():
    assert is_field_name(b"X-Name!#$%&'*+.^_`|~09")
    assert not is_field_name(b"")
    assert not is_field_name(b"a b")
    assert is_field_value(b"")
    assert is_field_value(b"a\tb \xff")
    assert not is_field_value(b"a\n")


def test_a_bare_line_feed_is_seen_from_where_the_search_begins():
    assert has_bare_lf(b"\n")
    assert has_bare_lf(b"a\r\nb\nc")
    assert not has_bare_lf(b"a\r\nb\r\n")
    assert not has_bare_lf(b"a\r\nb", 2)
    assert not has_bare_lf(b"\na", 1)
