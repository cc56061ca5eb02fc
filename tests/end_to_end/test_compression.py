"""WebSockets with permessage-deflate, to clients and to backends, through the real program."""

import contextlib
import json
import queue
import socket
import threading
import time
import zlib

import pytest
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.client import connect as connect_websocket
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.websocket_client import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    encode_close,
    encode_frame,
)
from realtime_proxy.wire.websocket_handshake import token_for

ROUTES = """
[[route]]
targets = [{{ url = "{backend}", over_http = true }}]
compression = true

[[route]]
host = "off"
targets = [{{ url = "{backend}", over_http = true }}]

[[route]]
host = "small"
targets = [{{ url = "{backend}", over_http = true }}]
compression = true
max_message_bytes = 20_000

[[route]]
host = "raw"
targets = [{{ url = "{backend}" }}]
compression = true

[[route]]
host = "origin"
targets = [{{ url = "{origin}" }}]
compression = true

[[route]]
host = "origin-off"
targets = [{{ url = "{origin}" }}]
"""
SERVER = "max_message_bytes = 300_000"
TEXT_OF_1_KB = "compress me, " * 80
OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
SMALL_OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=10")
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def deflated(content, window_bits=15):
    compressor = zlib.compressobj(wbits=-window_bits)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(data, window_bits=15):
    return zlib.decompressobj(-window_bits).decompress(data + b"\x00\x00\xff\xff")


class Origin:
    """A server of the `websockets` library, which sends back what it gets."""

    def __init__(self):
        self.accepted = queue.Queue()
        self.server = serve(
            self.handle,
            "127.0.0.1",
            0,
            max_size=None,
            ping_interval=None,
            compression=None,
            extensions=[ServerPerMessageDeflateFactory()],
        )
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def handle(self, connection):
        self.accepted.put(connection)
        for message in connection:
            connection.send(message)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()


@pytest.fixture(scope="module")
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def program(start, backend, origin):
    return start(ROUTES.format(backend=backend.url, origin=origin.url), server=SERVER)


@pytest.fixture
def open_client(program):
    """Open a client of the `websockets` library, which offers what browsers do."""
    with contextlib.ExitStack() as stack:

        def open_one(path="/", host="test", **options):
            connection = connect_websocket(
                f"ws://{host}{path}",
                sock=stack.enter_context(socket.create_connection(program.address)),
                ping_interval=None,
                **options,
            )
            return stack.enter_context(connection)

        yield open_one


@pytest.fixture
def events(backend, path):
    """A backend that subscribes its client to the channel of its path, and sends events back."""
    got = []

    def script(call):
        arrived = read_events(call.body)
        got.extend(arrived)
        echo = [(kind, b"m:" + content) for kind, content in arrived if kind in ("TEXT", "BINARY")]
        fields = [("Content-Type", CONTENT_TYPE)]
        if ("OPEN", b"") in arrived:
            subscribe = json.dumps({"type": "subscribe", "channel": path[1:]}).encode()
            echo = ["OPEN", ("TEXT", b"c:" + subscribe)]
            fields.append(("Sec-WebSocket-Extensions", "grip"))
        call.respond(fields=fields, body=write_events(*echo))

    backend.scripts[path] = script
    return got


def extension(client):
    return client.response.headers.get("Sec-WebSocket-Extensions")


# -- clients -------------------------------------------------------------------------------------


def test_messages_are_deflated_between_client_and_proxy(open_client, events, path):
    client = open_client(path)
    assert extension(client) == ANSWER
    for message in (TEXT_OF_1_KB, b"\x00\xff" * 1_000, "short", "", TEXT_OF_1_KB):
        client.send(message)
        assert client.recv() == message
    contents = [content for kind, content in events if kind != "OPEN"]
    assert contents[0] == contents[-1] == TEXT_OF_1_KB.encode()  # backends know nothing of it
    assert contents[1] == b"\x00\xff" * 1_000


def test_what_the_frames_are(websocket, events, path):
    client = websocket()
    assert client.open(path, [OFFER]).get_all("sec-websocket-extensions") == [ANSWER]
    content = TEXT_OF_1_KB.encode()
    client.client.send(encode_frame(TEXT, deflated(content), reserved=4))
    frame = client.read()
    assert frame.is_deflated
    assert len(frame.content) < 100
    assert inflated(frame.content) == content
    client.send(TEXT, b"short")
    frame = client.read()
    assert (frame.content, frame.is_deflated) == (b"short", False)


@pytest.mark.parametrize(("host", "fields"), [("off", [OFFER]), ("test", [])])
@pytest.mark.usefixtures("events")
def test_nothing_is_compressed_unless_both_want_it(websocket, path, host, fields):
    client = websocket()
    assert client.open(path, fields, host=host).get("sec-websocket-extensions") is None
    client.send(TEXT, TEXT_OF_1_KB.encode())
    frame = client.read()
    assert (frame.content, frame.is_deflated) == (TEXT_OF_1_KB.encode(), False)


@pytest.mark.usefixtures("events")
def test_who_asks_for_a_small_window_gets_one(websocket, path):
    client = websocket()
    answer = client.open(path, [SMALL_OFFER]).get("sec-websocket-extensions")
    assert answer == f"{ANSWER}; server_max_window_bits=9"
    content = b"".join(b"%d, " % (number % 900) for number in range(3_000))
    client.client.send(encode_frame(TEXT, deflated(content), reserved=4))
    frame = client.read()
    assert frame.is_deflated
    assert inflated(frame.content, window_bits=9) == content


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("size", [1_000, 900_000])
def test_a_published_message_is_the_same_for_all_who_agreed(websocket, program, path, size):
    offers = [[OFFER], [OFFER], [SMALL_OFFER], []]
    clients = []
    for fields in offers:
        clients.append(websocket())
        clients[-1].open(path, fields)
    program.wait_for_subscriptions(path[1:], len(clients))
    content = (TEXT_OF_1_KB * 1_000)[:size]
    assert program.publish(path[1:], ws_message={"content": content}) == len(clients)
    first, second, small, plain = [client.read() for client in clients]
    assert first == second
    assert [frame.is_deflated for frame in (first, small, plain)] == [True, True, False]
    assert plain.content == inflated(first.content) == inflated(small.content, 9)
    assert plain.content == content.encode()
    program.publish(path[1:], ws_message={"content": "short"})
    assert {client.read().content for client in clients} == {b"short"}


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1009, encode_frame(TEXT, deflated(bytes(300_001)), reserved=4)),
        (1009, encode_frame(TEXT, deflated(bytes(50_000_000)), reserved=4)),
        (1002, encode_frame(PING, b"a", reserved=4)),
        (1002, encode_frame(TEXT, b"a", final=False) + encode_frame(0, b"b", reserved=4)),
        (1007, encode_frame(TEXT, b"\xff\xff", reserved=4)),
        (1007, encode_frame(TEXT, deflated(b"\xff" * 300), reserved=4)),
    ],
)
def test_what_a_client_must_not_do(websocket, backend, events, path, code, data):
    client = websocket()
    client.open(path, [OFFER])
    client.client.send(data)
    frame = client.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, code)
    backend.wait_for(path, 2).wait_until_answered()
    assert events == [("OPEN", b""), ("DISCONNECT", b"")]


MANY = 100
LARGE = 290_000


def large(number):
    return b"%08d" % number + bytes(LARGE)


def test_many_large_messages_in_few_bytes_wait_for_their_backend(
    websocket, program, backend, events, path
):
    """One read of some kB has thirty megabytes in it: they are made when there is room for them."""
    client = websocket()
    client.open(path, [OFFER])
    echo, gate = backend.scripts[path], threading.Event()

    def script(call):
        gate.wait(DEADLINE_SECONDS)
        echo(call)

    backend.scripts[path] = script
    program.forget_peak()
    before = program.memory_bytes
    data = [encode_frame(BINARY, deflated(large(number)), reserved=4) for number in range(MANY)]
    assert sum(map(len, data)) < 60_000
    client.client.send(b"".join(data))
    backend.wait_for(path, 2)
    assert program.peak_memory_bytes - before < 15_000_000
    gate.set()
    for number in range(MANY):
        assert inflated(client.read().content) == large(number)


def test_who_says_all_and_leaves_is_heard_to_the_end(websocket, backend, events, path):
    """What is read at once, but made one after the other, is not lost to an end that has come."""
    said = [b"%d" % number + bytes(19_000) for number in range(8)]
    data = [encode_frame(BINARY, deflated(content), reserved=4) for content in said]
    for _ in range(20):
        client = websocket()
        client.open(path, [OFFER], host="small")
        client.client.send(b"".join(data) + encode_close(1000))
        client.client.socket.shutdown(socket.SHUT_WR)
        end = time.monotonic() + DEADLINE_SECONDS
        while events[-1][0] not in ("CLOSE", "DISCONNECT"):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert [kind for kind, _ in events] == ["OPEN", *["BINARY"] * len(said), "CLOSE"]
        assert [content for _, content in events[1:-1]] == said
        events.clear()


# -- backends that speak WebSocket ---------------------------------------------------------------


@pytest.mark.parametrize("offers", [True, False])
def test_each_side_agrees_for_itself(open_client, origin, offers):
    client = open_client(host="origin", compression="deflate" if offers else None)
    there = origin.accepted.get(timeout=DEADLINE_SECONDS)
    assert extension(client) == (ANSWER if offers else None)
    asked = there.request.headers["Sec-WebSocket-Extensions"]
    assert asked == f"grip, {ANSWER}"
    assert "permessage-deflate" in there.response.headers["Sec-WebSocket-Extensions"]
    for message in (TEXT_OF_1_KB, b"\x00\xff" * 100_000, "short", TEXT_OF_1_KB):
        client.send(message)
        assert client.recv() == message


def test_a_backend_is_offered_nothing_where_it_is_not_allowed(open_client, origin):
    client = open_client(host="origin-off")
    there = origin.accepted.get(timeout=DEADLINE_SECONDS)
    assert extension(client) is None
    assert there.request.headers["Sec-WebSocket-Extensions"] == "grip"
    client.send(TEXT_OF_1_KB)
    assert client.recv() == TEXT_OF_1_KB


def accepting(backend, path, extensions):
    """Have a backend accept with these extensions, and hand over its connection."""
    calls, release = queue.Queue(), threading.Event()

    def script(call):
        token = token_for(call.get("sec-websocket-key").encode()).decode()
        lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {token}"]
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        head = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""])
        call.send(head.encode())
        call.keeps_connection = False
        calls.put(call)
        release.wait(DEADLINE_SECONDS)

    backend.scripts[path] = script
    return calls, release


@pytest.mark.parametrize(
    "extensions", ["permessage-deflate", f"{ANSWER}; client_max_window_bits=9"]
)
def test_a_backend_that_accepts_what_was_not_offered(websocket, backend, path, extensions):
    _, release = accepting(backend, path, extensions)
    client = websocket()
    client.ask(path, [OFFER], host="raw")
    assert client.client.read_reply().status == 502
    release.set()


@pytest.mark.parametrize("offers", [True, False])
def test_many_large_messages_of_a_backend(websocket, backend, path, offers):
    calls, release = accepting(backend, path, ANSWER)
    client = websocket()
    client.open(path, [OFFER] if offers else [], host="raw")
    call = calls.get(timeout=DEADLINE_SECONDS)
    data = [
        encode_frame(BINARY, deflated(large(number)), masked=False, reserved=4)
        for number in range(MANY)
    ]
    call.send(b"".join(data))
    for number in range(MANY):
        frame = client.read()
        assert (inflated(frame.content) if frame.is_deflated else frame.content) == large(number)
    release.set()


def test_many_large_messages_for_a_backend(open_client, origin):
    client = open_client(host="origin", max_size=None)
    origin.accepted.get(timeout=DEADLINE_SECONDS)
    sender = threading.Thread(target=lambda: [client.send(large(n)) for n in range(MANY)])
    sender.start()
    for number in range(MANY):
        assert client.recv() == large(number)
    sender.join()


def test_a_bomb_of_a_backend_ends_both_sides(websocket, backend, path):
    calls, release = accepting(backend, path, ANSWER)
    client = websocket()
    client.open(path, host="raw")
    call = calls.get(timeout=DEADLINE_SECONDS)
    call.send(encode_frame(TEXT, deflated(bytes(300_001)), masked=False, reserved=4))
    frame = client.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1009)
    release.set()
