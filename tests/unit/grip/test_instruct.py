"""GRIP instructions: header form, JSON form, both together, and every refusal."""

import json
from pathlib import Path

import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.instruct import (
    Channel,
    HoldMode,
    KeepAlive,
    KeepAliveMode,
    NextLink,
    is_instruct,
    may_stream,
    parse_instruct,
    parse_instruct_headers,
)
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead

VECTORS = Path(__file__).parent / "vectors"
ERRORS = json.loads((VECTORS / "instruct_errors.json").read_text())


def head(*fields, status=200, reason=b"OK"):
    return ResponseHead(status, reason, Headers(fields))


def parse(*fields, body=b"", **kw):
    return parse_instruct(head(*fields, **kw), body)


def parse_json(content, *fields, **kw):
    carrier = (b"Content-Type", b"application/grip-instruct; charset=utf-8")
    return parse(carrier, *fields, body=json.dumps(content).encode(), **kw)


# -- is it one? -----------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        (b"Grip-Hold", b"stream"),
        (b"grip-hold", b""),
        (b"GRIP-ANYTHING", b""),
        (b"gRiP-", b""),
        (b"Content-Type", b"application/grip-instruct"),
        (b"content-type", b"application/grip-instruct; charset=utf-8"),
    ],
)
def test_instructions_are_recognised(field):
    assert is_instruct(Headers([(b"Date", b"today"), field]))


@pytest.mark.parametrize(
    "field",
    [
        (b"Content-Type", b"text/plain"),
        (b"Content-Type", b"application/grip-instructs"),
        (b"Content-Type", b"Application/Grip-Instruct"),
        (b"Content-Type-Too", b"application/grip-instruct"),
        (b"Grip", b"x"),
        (b"X-Grip-Hold", b"stream"),
        (b"", b""),
    ],
)
def test_other_responses_are_none(field):
    assert not is_instruct(Headers([field]))


def test_no_headers_are_no_instruction():
    assert not is_instruct(Headers())


# -- header form ------------------------------------------------------------------


def test_defaults():
    instruct = parse((b"Grip-Anything", b"x"), body=b"text", status=202, reason=b"Fine")
    assert instruct.hold is None
    assert instruct.channels == ()
    assert instruct.timeout_seconds == 55
    assert instruct.keep_alive is None
    assert instruct.meta == {}
    assert (instruct.status, instruct.reason, instruct.body) == (202, b"Fine", b"text")
    assert instruct.next_link is None
    assert instruct.gone_link is None


@pytest.mark.parametrize(
    ("value", "mode"), [(b"response", HoldMode.RESPONSE), (b"stream", HoldMode.STREAM)]
)
def test_hold(value, mode):
    assert parse((b"Grip-Hold", value)).hold is mode


@pytest.mark.parametrize(
    ("lines", "channels"),
    [
        ([b"a"], [Channel("a")]),
        ([b"a, b", b"c"], [Channel("a"), Channel("b"), Channel("c")]),
        ([b" a ,, b,"], [Channel("a"), Channel("b")]),
        ([b"", b","], []),
        ([b"a; prev-id=41; filter=skip-self; filter=x"], [Channel("a", "41", ("skip-self", "x"))]),
        ([b"a; PREV-ID=1; Filter=no"], [Channel("a", "1")]),
        ([b"a; prev-id="], [Channel("a", "")]),
        ([b"a; prev-id"], [Channel("a", "")]),
        ([b'a; prev-id="x,y;\\"z"'], [Channel("a", 'x,y;"z')]),
        ([b'"x"'], [Channel('"x"')]),
        ([b'"x,y", z'], [Channel('"x,y"'), Channel("z")]),
        ([b'a, "b, c', b"d"], [Channel("a"), Channel("d")]),
        ([b'a; prev-id="1, b'], []),
        ([b"a; prev-id=1, b, a; prev-id=2"], [Channel("a", "2"), Channel("b")]),
        ([b"a; unknown=1"], [Channel("a")]),
        (["é".encode()], [Channel("é")]),
        ([b"\xff"], [Channel("\ufffd")]),
        ([b"; prev-id=1"], []),
    ],
)
def test_channels(lines, channels):
    instruct = parse(*((b"Grip-Channel", line) for line in lines))
    assert list(instruct.channels) == channels


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"30", 30), (b" +30 ", 30), (b"5", 5), (b"4", 5), (b"0", 5)]
)
def test_timeout(value, seconds):
    assert parse((b"Grip-Timeout", value)).timeout_seconds == seconds


@pytest.mark.parametrize(
    ("value", "meta"),
    [
        (b'user=alice, n="a, b; \\"c\\""', {"user": "alice", "n": 'a, b; "c"'}),
        (b"a=1; ignored=2,,a=3", {"a": "3"}),
        (b"a", {"a": ""}),
        (b"a==", {"a": "="}),
    ],
)
def test_meta(value, meta):
    assert parse((b"Grip-Set-Meta", value)).meta == meta


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (b"404", 404, b"Not Found"),
        (b"404 Gone Fishing", 404, b"Gone Fishing"),
        (b"799", 799, b"Undefined Reason"),
        (b"200 ", 200, b"OK"),
        (b"999", 999, b"Undefined Reason"),
    ],
)
def test_status(value, status, reason):
    instruct = parse((b"Grip-Status", value), status=503, reason=b"Busy")
    assert (instruct.status, instruct.reason) == (status, reason)


def test_grip_fields_are_private():
    fields = [(b"X-A", b"1"), (b"GRIP-Hold", b"stream"), (b"x-a", b"2"), (b"Content-Length", b"0")]
    instruct = parse(*fields)
    assert instruct.headers == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-Length", b"0")]
    assert instruct.head() == ResponseHead(200, b"OK", instruct.headers)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([b"X-B"], [b"x-b"]),
        ([b"x-b, X-C"], [b"x-b", b"X-C"]),
        ([b"x-b", b"x-c"], [b"x-b", b"X-C"]),
        ([b""], [b"X-A", b"x-b", b"X-C"]),
        ([b"none-of-them"], []),
        ([b"grip-expose-headers"], []),
    ],
)
def test_expose_headers(lines, left):
    fields = [(b"X-A", b""), (b"x-b", b""), (b"X-C", b"")]
    instruct = parse(*fields, *((b"Grip-Expose-Headers", line) for line in lines))
    assert [name for name, _ in instruct.headers] == left


def test_keep_alive_and_links_are_read():
    instruct = parse(
        (b"Grip-Keep-Alive", b"a, b; mode=interval"),
        (b"Grip-Keep-Alive", b"second; mode=never"),
        (b"Grip-Link", b"</n?a,b;c>; rel=next; timeout=7"),
        (b"Grip-Link", b"</g>; rel=gone"),
    )
    assert instruct.keep_alive == KeepAlive(b"a, b", 55, KeepAliveMode.INTERVAL)
    assert instruct.next_link == NextLink("/n?a,b;c", 7)
    assert instruct.gone_link == "/g"


# -- JSON form ----------------------------------------------------------------------


def test_json_alone():
    instruct = parse_json(
        {
            "hold": {
                "mode": "stream",
                "channels": [{"name": "n", "prev-id": "", "filters": ["f"]}, {"name": "m"}],
                "timeout": "3",
                "keep-alive": {"content": "é", "timeout": 0, "mode": "interval"},
                "meta": {"user": "alice"},
                "unknown": None,
            },
            "response": {"code": 404.9, "headers": {"X-B": " é ", "X-A": "1"}, "body": "é"},
        },
        (b"X-Carrier", b"1"),
    )
    assert instruct.hold is HoldMode.STREAM
    assert instruct.channels == (Channel("n", "", ("f",)), Channel("m"))
    assert instruct.timeout_seconds == 5
    assert instruct.keep_alive == KeepAlive("é".encode(), 1, KeepAliveMode.IDLE)
    assert instruct.meta == {"user": "alice"}
    assert (instruct.status, instruct.reason) == (404, b"Not Found")
    assert instruct.headers == [(b"X-A", b"1"), (b"X-B", "é".encode())]
    assert instruct.body == "é".encode()


def test_json_defaults():
    instruct = parse_json({"hold": {"channels": []}})
    assert instruct.hold is HoldMode.RESPONSE
    assert instruct.channels == ()
    assert instruct.timeout_seconds == 55
    assert instruct.keep_alive is None
    assert (instruct.status, instruct.reason) == (200, b"OK")
    assert instruct.headers == []
    assert instruct.body == b""


def test_json_header_list_keeps_order_and_repeats():
    instruct = parse_json({"response": {"headers": [["X-B", "1"], ["X-A", "2"], ["X-B", "3"]]}})
    assert instruct.headers == [(b"X-B", b"1"), (b"X-A", b"2"), (b"X-B", b"3")]


def test_json_binary_wins():
    content = {"content-bin": "AAE=", "content": 5}
    instruct = parse_json(
        {
            "hold": {"channels": [], "keep-alive": content},
            "response": {"body-bin": "/w", "body": 5},
        }
    )
    assert instruct.keep_alive == KeepAlive(b"\x00\x01")
    assert instruct.body == b"\xff"


def test_json_keep_alive_without_content_is_none():
    assert parse_json({"hold": {"channels": [], "keep-alive": {}}}).keep_alive is None


def test_headers_beside_json_count():
    instruct = parse_json(
        {"response": {"body": "o"}},
        (b"Grip-Hold", b"stream"),
        (b"Grip-Channel", b"c"),
        (b"Grip-Link", b"</n>; rel=next"),
        (b"Grip-Status", b"404 Nope"),
        (b"Grip-Keep-Alive", b"k"),
    )
    assert instruct.hold is HoldMode.STREAM
    assert instruct.channels == (Channel("c"),)
    assert instruct.next_link == NextLink("/n", 120)
    assert (instruct.status, instruct.reason) == (404, b"Nope")
    assert instruct.keep_alive == KeepAlive(b"k")


def test_json_overrides_headers():
    instruct = parse_json(
        {
            "hold": {
                "mode": "response",
                "channels": [{"name": "b"}, {"name": "a", "prev-id": "2"}],
                "timeout": 9,
                "keep-alive": {"content": "j"},
                "meta": {"both": "json"},
            },
            "response": {"code": 410},
        },
        (b"Grip-Hold", b"stream"),
        (b"Grip-Channel", b"a; prev-id=1"),
        (b"Grip-Timeout", b"30"),
        (b"Grip-Keep-Alive", b"k"),
        (b"Grip-Set-Meta", b"both=header, one=header"),
        (b"Grip-Status", b"404 Nope"),
    )
    assert instruct.hold is HoldMode.RESPONSE
    assert instruct.channels == (Channel("a", "2"), Channel("b"))
    assert instruct.timeout_seconds == 9
    assert instruct.keep_alive == KeepAlive(b"j")
    assert instruct.meta == {"both": "json", "one": "header"}
    assert (instruct.status, instruct.reason) == (410, b"Gone")


def test_json_hold_leaves_what_it_does_not_name():
    instruct = parse_json(
        {"hold": {"channels": []}},
        (b"Grip-Hold", b"stream"),
        (b"Grip-Timeout", b"30"),
        (b"Grip-Keep-Alive", b"k"),
    )
    assert instruct.hold is HoldMode.STREAM
    assert instruct.timeout_seconds == 30
    assert instruct.keep_alive == KeepAlive(b"k")


def test_json_reason_without_code():
    instruct = parse_json({"response": {"reason": "Bits"}}, reason=b"Carrier")
    assert (instruct.status, instruct.reason) == (200, b"Bits")


def test_json_headers_are_exposed_and_private_alike():
    instruct = parse_json(
        {"response": {"headers": {"Grip-Hold": "stream", "X-A": "1", "X-B": "2"}}},
        (b"Grip-Expose-Headers", b"X-B, Grip-Hold"),
    )
    assert instruct.headers == [(b"X-B", b"2")]
    assert instruct.hold is None


# -- long bodies ----------------------------------------------------------------------

NEXT = (b"Grip-Link", b"</n>; rel=next")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(b"Grip-Hold", b"stream")], True),
        ([(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"a; filter=skip-self")], True),
        ([(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"a, b; filter=build-id")], False),
        ([(b"Grip-Hold", b"response"), NEXT], False),
        ([NEXT], True),
        ([NEXT, (b"Grip-Channel", b"a; filter=build-id")], False),
        ([(b"Grip-Link", b"</n>; rel=gone")], False),
        ([(b"Grip-Channel", b"a")], False),
        ([(b"Grip-Hold", b"stream"), (b"Content-Type", b"application/grip-instruct")], False),
    ],
)
def test_long_bodies_that_may_stream(fields, expected):
    it = head(*fields)
    assert may_stream(it, parse_instruct_headers(it)) is expected


def test_headers_alone_have_no_body():
    instruct = parse_instruct_headers(head((b"Grip-Hold", b"stream"), (b"X-A", b"1")))
    assert (instruct.body, instruct.headers) == (b"", [(b"X-A", b"1")])


# -- what was said before ----------------------------------------------------------------

HELD = ((b"Grip-Hold", b"stream"), (b"Grip-Channel", b"often; prev-id=1; filter=f"))


def test_what_is_said_again_is_read_once():
    first, second = parse(*HELD), parse(*HELD)
    assert first == second
    assert first.channels is second.channels


def test_what_is_said_again_goes_with_each_response():
    parse(*HELD, (b"A", b"1"), body=b"first")
    second = parse(*HELD, (b"B", b"2"), body=b"second", status=201, reason=b"Made")
    assert (second.status, second.reason, second.body) == (201, b"Made", b"second")
    assert second.headers == [(b"B", b"2")]


@pytest.mark.parametrize(
    "other",
    [
        (HELD[0], (b"Grip-Channel", b"often; prev-id=2; filter=f")),
        (HELD[0], (b"Grip-Channel", b"other")),
        ((b"Grip-Hold", b"response"), HELD[1]),
        (HELD[1], HELD[0], (b"Grip-Timeout", b"30")),
    ],
)
def test_what_is_said_otherwise_is_read_anew(other):
    assert parse(*HELD) != parse(*other)


@pytest.mark.parametrize("long", [(b"Grip-Channel", b"a" * 1_000), (b"Grip-" + b"a" * 1_000, b"")])
def test_what_is_said_at_length_is_not_kept(long):
    fields = (*HELD, long)
    assert parse(*fields).channels is not parse(*fields).channels


def test_nonsense_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(GripError, match="Grip-Hold"):
            parse((b"Grip-Hold", b"never"))


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("vector", ERRORS, ids=lambda vector: vector["error"])
def test_errors(vector):
    fields = [(name.encode(), value.encode()) for name, value in vector.get("headers", [])]
    body = vector.get("body", json.dumps(vector["json"]) if "json" in vector else "")
    if "body" in vector or "json" in vector:
        fields.append((b"Content-Type", b"application/grip-instruct"))
    with pytest.raises(GripError) as caught:
        parse(*fields, body=body.encode(), status=vector.get("status", 200))
    assert str(caught.value) == vector["error"]


def test_json_nested_too_deeply():
    carrier = (b"Content-Type", b"application/grip-instruct")
    with pytest.raises(GripError, match="as JSON"):
        parse(carrier, body=b"[" * 90_000)


@pytest.mark.parametrize("text", [b'"', b'a"', b'"\\', b'";', b'<"'])
def test_quotes_that_never_close_end_soon(text):
    value = b"x; y=" + text * 50_001
    instruct = parse((b"Grip-Channel", value), (b"Grip-Link", value))
    assert (instruct.channels, instruct.next_link) == ((), None)
