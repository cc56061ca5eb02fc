"""Valid inputs of every kind the proxy reads, and the words of their languages."""

import json

import tnetstring

CHANNEL = "fuzz"
EVENTS_TYPE = b"application/websocket-events"
HANDSHAKE = (
    b"Host: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

# -- requests of clients ---------------------------------------------------------------


def upgrade(path, more=b""):
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path, HANDSHAKE, more)


def _requests(prefix):
    return [
        b"GET %b/ HTTP/1.1\r\nHost: a.test\r\n\r\n" % prefix,
        b"HEAD %b/ HTTP/1.1\r\nHost: a.test\r\nAccept: text/html;q=0.5\r\n\r\n" % prefix,
        b"GET %b/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % prefix,
        b"GET %b/stream?channel=fuzz&channel=b HTTP/1.1\r\nHost: a.test:80\r\n\r\n" % prefix,
        b"GET %b/response?channel=fuzz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n" % prefix,
        b"GET http://a.test%b/ HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n"
        % prefix,
        b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET %b/stream?callback=cb&_method=PUT&_headers=%%7B%%22X-A%%22:%%22b%%22%%7D&_body=c%%20d"
        b" HTTP/1.1\r\nHost: a.test\r\nOrigin: http://b.test\r\n\r\n" % prefix,
        b"POST %b/demo/publish HTTP/1.1\r\nHost: a.test\r\nOrigin: http://a.test\r\n"
        b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n"
        b'{"message": "hi"}' % prefix,
        b"POST %b/demo/publish HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n"
        b"message=hi" % prefix,
        b"PUT %b/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
        b"5;name=value\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n" % prefix,
        b"GET %b/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET %b/ HTTP/1.1\r\nHost: b.test\r\n\r\n"
        % (prefix, prefix),
        upgrade(prefix + b"/ws?channel=fuzz"),
        upgrade(prefix + b"/ws", b"Sec-WebSocket-Extensions: grip, permessage-deflate\r\n"),
        b"POST %b/ws HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/websocket-events\r\n"
        b"Content-Length: 6\r\n\r\nOPEN\r\n" % prefix,
        b"GET %b/ HTTP/1.1\r\nHost: a.test\r\nGrip-Sig: a.b.c\r\nGrip-Last: a; last-id=b\r\n"
        b"Meta-User: x\r\nConnection: close, Meta-User\r\nCookie: a=b; c=d\r\n\r\n" % prefix,
    ]


REQUESTS = _requests(b"") + _requests(b"/scripted")
REQUEST_WORDS = [
    b"callback=",
    b"_headers=%7B%22A%22:%22%0D%0A%22%7D&",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b": ",
    b"Host: b.test\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: upgrade, close\r\n",
    b"Upgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Grip-Hold: stream\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"Origin: null\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"%00",
    b"%0d%0a",
    b"..",
    b"//",
    b"#",
    b"[::",
    b"@",
    b"\xc3\xa9",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"0;\r\nT: \x01\r\n\r\n",
]

# -- WebSocket frames of clients -------------------------------------------------------


def frame(opcode, content=b"", *, first=0x80, masked=True):
    size = len(content)
    short = size if size < 126 else 126 if size < 65_536 else 127
    length = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
    head = bytes([first | opcode, short | (0x80 if masked else 0)]) + length
    if not masked:
        return head + content
    mask = b"\x37\xfa\x21\x3d"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))


FRAMES = [
    frame(1, b"hello"),
    frame(1),
    frame(1, "h\u00e9llo \u20ac".encode()),
    frame(2, bytes(range(256))),
    frame(2, bytes(70_000)),
    frame(9, b"ping"),
    frame(10),
    frame(1, b"a" * 125) + frame(1, b"b" * 126),
    frame(1, b"fir", first=0) + frame(9, b"between") + frame(0, b"st", first=0) + frame(0, b"!"),
    frame(2, b"\xff", first=0) + frame(0, b""),
    frame(8, b"\x03\xe8bye"),
    frame(8),
    frame(1, b"last") + frame(8, b"\x0f\xa1"),
    b"".join(frame(1, b"%d" % number) for number in range(30)),
    frame(1, b"x", first=0xC0),
    frame(1, b"unmasked", masked=False),
]
FRAME_WORDS = [
    b"\x81\x80\x00\x00\x00\x00",
    b"\x88\x80\x00\x00\x00\x00",
    b"\x81\xfe\x00\x05",
    b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05",
    b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x83\x80",
    b"\x8b\x80",
    b"\xf1\x80",
    b"\x00\x80",
    b"\x88\x82\x00\x00\x00\x00\x03\xed",
    b"\x88\x84\x00\x00\x00\x00\x03\xe8\xff\xfe",
    b"\xff\xff",
]

# -- answers of backends ---------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
KEEP_ALIVE = rb":\n\n; format=cstring; timeout=20"
INSTRUCT = {
    "hold": {
        "mode": "stream",
        "timeout": 20,
        "channels": [{"name": CHANNEL, "prev-id": "1", "filters": ["skip-self"]}],
        "keep-alive": {"content": "\n", "timeout": 20, "mode": "idle"},
        "meta": {"user": "a"},
    },
    "response": {
        "code": 200,
        "reason": "OK",
        "headers": {"Content-Type": "text/plain", "X-A": "b"},
        "body": "first\n",
    },
}
LIST_INSTRUCT = {
    "hold": {"mode": "response", "channels": [{"name": CHANNEL}, {"name": "b"}]},
    "response": {
        "code": 201,
        "headers": [["X-A", "b"], ["Set-Cookie", "c=d"]],
        "body-bin": "AAEC",
    },
}
INSTRUCTS = [INSTRUCT, LIST_INSTRUCT, {"response": {"body": "no hold"}}]


def answer(*headers, body=b"body\n", line=b"HTTP/1.1 200 OK"):
    lines = [line, *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def instruct_answer(value):
    return answer(b"Content-Type: application/grip-instruct", body=json.dumps(value).encode())


ANSWERS = [
    answer(),
    answer(b"Grip-Hold: stream", b"Grip-Channel: fuzz", b"Grip-Keep-Alive: " + KEEP_ALIVE),
    answer(b"Grip-Hold: response", b'Grip-Channel: fuzz; prev-id="1", b', b"Grip-Timeout: 30"),
    answer(b"Grip-Hold: stream", b"Grip-Channel: fuzz; filter=skip-self", b'Grip-Set-Meta: a="b"'),
    answer(
        b"Grip-Hold: stream",
        b"Grip-Channel: fuzz; filter=var-subst; filter=build-id",
        b'Grip-Set-Meta: a="b", id_format="%(a)s-%%", id_encoding=hex',
        body=b"%(1)I %%",
    ),
    answer(b"Grip-Channel: fuzz; filter=build-id", b"Grip-Set-Meta: id_format=x", body=b"%(1)I"),
    answer(b"Grip-Hold: stream", b"Grip-Channel: fuzz", b"Grip-Link: </next>; rel=next; timeout=9"),
    answer(b"Grip-Status: 304", b"Grip-Hold: response", b"Grip-Channel: fuzz"),
    answer(line=b"HTTP/1.1 404 Not Found", body=b""),
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"Set-Cookie: a=b", b"Set-Cookie: c=d"),
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    CHUNKED + b"\r\n4\r\nbody\r\n3;x=y\r\nend\r\n0\r\nT: 1\r\n\r\n",
    CHUNKED + b"Grip-Hold: stream\r\nGrip-Channel: fuzz\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    *map(instruct_answer, INSTRUCTS),
]
ANSWER_WORDS = [
    *REQUEST_WORDS,
    b"Grip-Hold: response\r\n",
    b"Grip-Channel: a, b, c; prev-id=d\r\n",
    b"Grip-Timeout: 99999999999\r\n",
    b"Grip-Keep-Alive: x; format=base64\r\n",
    b'Grip-Link: <http://[>; rel="next"\r\n',
    b"Grip-Status: 999\r\n",
    b"Grip-Expose-Headers: *\r\n",
    b"Content-Type: application/grip-instruct\r\n",
    b"Content-Encoding: gzip\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 99 \r\n",
    b"; format=cstring",
    b"; filter=http-check",
    b"; filter=build-id",
    b"%(",
    b"\\",
    b'"',
    b'{"',
    b"null",
    b"\\ud800",
    b'{"hold":{"mode":"stream"}}',
]


def events_answer(*events, headers=(), status=b"200 OK"):
    return answer(
        b"Content-Type: " + EVENTS_TYPE, *headers, body=b"".join(events), line=b"HTTP/1.1 " + status
    )


def event(kind, content=None):
    if content is None:
        return kind + b"\r\n"
    return b"%b %x\r\n%b\r\n" % (kind, len(content), content)


def control(**message):
    return event(b"TEXT", b"c:" + json.dumps(message).encode())


GRIP = b"Sec-WebSocket-Extensions: grip"
OPENING = events_answer(event(b"OPEN"), control(type="subscribe", channel=CHANNEL), headers=[GRIP])
EVENT_ANSWERS = [
    OPENING,
    events_answer(event(b"OPEN"), headers=[GRIP + b'; message-prefix=""', b"Set-Meta-User: a"]),
    events_answer(event(b"OPEN"), event(b"TEXT", b"plain"), headers=[b"Keep-Alive-Interval: 30"]),
    events_answer(event(b"TEXT", b"m:hello"), event(b"BINARY", b"m:\x00\xff")),
    events_answer(event(b"PING"), event(b"PONG", b"x"), event(b"TEXT", b"")),
    events_answer(event(b"TEXT", b"m:bye"), event(b"CLOSE", b"\x03\xe8end")),
    events_answer(event(b"CLOSE")),
    events_answer(event(b"DISCONNECT")),
    events_answer(headers=[b"Keep-Alive-Interval: 20", b"Content-Bytes-Accepted: 3"]),
    events_answer(control(type="detach"), control(type="unsubscribe", channel=CHANNEL)),
    events_answer(
        control(type="keep-alive", content="k", timeout=20, mode="interval"),
        control(type="set-meta", name="a", value="b"),
        control(type="send-delayed", timeout=1, **{"message-type": "text", "content": "c"}),
        control(type="flush-delayed"),
    ),
    events_answer(
        control(type="subscribe", channel=CHANNEL, filters=["http-modify", "require-sub"]),
        control(type="set-meta", name="url", value="filter"),
        control(type="subscribe", channel=CHANNEL, filters=["var-subst"]),
    ),
    events_answer(status=b"403 Forbidden"),
    answer(line=b"HTTP/1.1 401 Unauthorized", body=b"no"),
]
EVENT_WORDS = [
    *ANSWER_WORDS,
    b"OPEN\r\n",
    b"TEXT\r\n",
    b"TEXT ffffffff\r\n",
    b"TEXT -1\r\n",
    b"CLOSE 1\r\nx\r\n",
    b"CLOSE 2\r\n\x03\xed\r\n",
    b"CLOSE 4\r\n\x03\xe8\xff\xfe\r\n",
    b"CLOSE 2\r\n\x00\x00\r\n",
    b"DISCONNECT\r\n",
    b"ODD 3\r\nabc\r\n",
    b"c:{}",
    b'c:{"type":"subscribe"}',
    b"m:",
    b"Keep-Alive-Interval: -1\r\n",
    b"Set-Meta-: x\r\n",
    b"Set-Meta-A: \xff\r\n",
    b"Sec-WebSocket-Extensions: grip; message-prefix\r\n",
]

# -- items -----------------------------------------------------------------------------

ITEMS = [
    {"channel": CHANNEL, "formats": {"http-stream": {"content": "hello\n"}}},
    {"channel": CHANNEL, "http-stream": {"content-bin": "aGVsbG8="}, "id": "2", "prev-id": "1"},
    {"channel": CHANNEL, "formats": {"http-response": {"body": "hello\n"}}, "no-seq": True},
    {
        "channel": CHANNEL,
        "formats": {
            "http-response": {
                "code": 201,
                "reason": "Made",
                "headers": {"X-A": "b"},
                "body-bin": "AAEC",
            },
        },
        "size": 3,
    },
    {
        "channel": CHANNEL,
        "formats": {
            "http-response": {
                "headers": [["X-A", "b"], ["Content-Type", "text/plain"]],
                "body-patch": [{"op": "add", "path": "/a", "value": {"b": [1]}}],
                "content-filters": ["skip-self"],
            }
        },
    },
    {
        "channel": CHANNEL,
        "formats": {
            "ws-message": {"type": "text", "content": "hello"},
            "http-stream": {"action": "send", "content": "both"},
        },
        "meta": {"sender": "a"},
    },
    {"channel": CHANNEL, "formats": {"ws-message": {"content-bin": "AAEC", "type": "binary"}}},
    {"channel": CHANNEL, "formats": {"ws-message": {"type": "ping"}}},
    {
        "channel": CHANNEL,
        "http-stream": {"content": "%I %(a)s %%", "content-filters": ["var-subst", "build-id"]},
        "ws-message": {"content": "%(url)s"},
        "meta": {"require_sub": CHANNEL, "skip_users": "a, b"},
    },
    {
        "channel": CHANNEL,
        "formats": {"ws-message": {"action": "close", "code": 4000, "reason": "r"}},
    },
    {"channel": CHANNEL, "formats": {"http-stream": {"action": "close"}}},
    {"channel": CHANNEL, "formats": {"http-response": {"action": "hint"}}},
    {"channel": CHANNEL, "formats": {"ws-message": {"action": "refresh"}}},
]
# With a number too large for most formats, in lists as deep as JSON is read.
DEEP_ITEM = (
    b'{"channel": "fuzz", "formats": {"http-response": {"body-patch": [{"op": "add", "path": "/a",'
    b' "value": ' + b"[" * 700 + b"1180591620717411303424" + b"]" * 700 + b"}]}}}"
)
ITEM_WORDS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b'"action":"close",',
    b'"code":1005,',
    b'"code":99999,',
    b'"headers":{"A":"\\r\\nB: c"},',
    b'"content":1,',
    b"0:}",
    b"0:~",
    b"4:true!",
    b"5:12345#",
    b"999999999:",
    b"[" * 600,
    b"1:",
]


def as_tnetstring(value):
    return tnetstring.dumps(_as_bytes(value))


def _as_bytes(value):
    """A value whose texts are bytes, of half surrogate pairs those that no UTF-8 has."""
    match value:
        case str():
            return value.encode(errors="surrogatepass")
        case list():
            return [_as_bytes(element) for element in value]
        case dict():
            return {_as_bytes(name): _as_bytes(element) for name, element in value.items()}
    return value


CONTROL_REQUEST_WORDS = [
    b"callback=",
    b"_headers=%7B%22A%22:%22%0D%0A%22%7D&",
    *REQUEST_WORDS,
    b"Accept: application/json;q=x\r\n",
    b"Prefer: return=representation\r\n",
]


def control_request(body, path=b"/publish/"):
    return (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)
    )


CONTROL_REQUESTS = [
    *(control_request(json.dumps({"items": [item]}).encode()) for item in ITEMS),
    control_request(b'{"items": []}', b"/publish"),
    control_request(b"", b"/recover/"),
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;q=0.5, application/json\r\n\r\n",
    b"POST /publish/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
]
