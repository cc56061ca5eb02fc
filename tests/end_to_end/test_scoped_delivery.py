"""Items for one agency reach those whose token says so, and nobody else, on whatever they wait."""

import json
import queue
import threading
import time

import pytest
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import CLOSE, TEXT

CONFIG = """
[handler.tokens]
use = "jwt_auth"
renewal_type = "renew"
renewal_path = "/renew"
renewal_may_change = ["exp", "agency"]
[[handler.tokens.consumers]]
username = "ado"
[[handler.tokens.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[[route]]
handlers = ["tokens"]
delivery_scope_claim = "agency"
sockjs = "/sock"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "implied.test"
handlers = ["tokens"]
delivery_scope_claim = "agency"
channel_prefix = "p-"
targets = [{{ url = "{url}", over_http = true, subscribe = ["named/{{claims.agency}}"] }}]

[[route]]
host = "passed.test"
handlers = ["tokens"]
delivery_scope_claim = "agency"
targets = [{{ url = "{origin}" }}]

[[route]]
host = "open.test"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "again.test"
handlers = ["renamed"]
delivery_scope_claim = "agency"
reauth_interval_seconds = 0.1
targets = [{{ url = "{url}", over_http = true }}]
"""
# Says that its users are of another agency each time that it is asked.
RENAMED = """
from realtime_proxy.pipeline import CONTINUE, BaseHandler, Identity


class Handler(BaseHandler):
    async def on_request(self, exchange):
        agency = "13" if exchange.is_recheck else "12"
        exchange.identity = Identity("ado", claims={"agency": agency})
        return CONTINUE
"""
CHANNEL = "alerts"


@pytest.fixture(scope="module")
def origin():
    """A backend that speaks WebSocket, and has each client listen to what its message names."""
    ended = queue.Queue()

    def subscribe(connection):
        for message in connection:
            told = {"type": "subscribe", "channel": message}
            connection.send(f"c:{json.dumps(told)}")
            connection.send(f"m:listening to {message}")
        ended.put(connection.request.path)

    with serve(subscribe, "127.0.0.1", 0, extensions=[Grip()]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


class Grip:
    """Accepts the extension `grip`, as a backend of Pushpin does."""

    name = "grip"

    def process_request_params(self, _params, _accepted):
        return [], self

    def encode(self, frame):
        return frame

    def decode(self, frame, *, max_size=None):
        return frame


@pytest.fixture(scope="module", params=[1, 2], ids="workers-{}".format)
def program(request, start, backend, origin):
    routes = CONFIG.format(url=backend.url, origin=origin)
    handlers = [("renamed", RENAMED)]
    return start(routes, server=f"workers = {request.param}", handlers=handlers)


@pytest.fixture
def channel(path):
    return path[1:].replace("[", "").replace("]", "")


def token(agency=None, seconds=60, sub="u"):
    claims = {"iss": "adokey", "sub": sub, "exp": time.time() + seconds}
    return hs_token(claims if agency is None else {**claims, "agency": agency}).decode()


def bearer(agency=None, **options):
    return [("Authorization", f"Bearer {token(agency, **options)}")]


def publish(program, channel, content, agency=None, **fields):
    meta = {} if agency is None else {"meta": {"agency": agency}}
    return program.publish(
        channel,
        fields=meta | fields,
        http_stream={"content": content},
        http_response={"body": content},
        ws_message={"content": content},
    )


def held(channel, hold="stream", *further):
    fields = [("Grip-Hold", hold), ("Grip-Channel", channel), *further]
    return lambda call: call.respond(fields=fields)


def over_http(*channels):
    """Accept, and listen to channels at once, or to what a message names."""

    def script(call):
        events = []
        for kind, content in read_events(call.body):
            told = channels if kind == "OPEN" else (content.decode(),)
            if kind == "OPEN":
                events.append("OPEN")
            if kind in ("OPEN", "TEXT"):
                controls = ({"type": "subscribe", "channel": name} for name in told)
                events += [("TEXT", f"c:{json.dumps(each)}".encode()) for each in controls]
                events += [("TEXT", b"m:listening to " + name.encode()) for name in told]
        fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
        call.respond(fields=fields, body=write_events(*events))

    return script


# -- who gets what -------------------------------------------------------------------------


def test_streams(connect, backend, program, path, channel):
    backend.scripts[path] = held(channel)
    streams = {}
    for agency in ("12", "13", 12, ["13", "14"]):
        streams[str(agency)] = stream = connect()
        stream.request("GET", path, bearer(agency))
        assert stream.read_head().status == 200
    free = connect()
    free.request("GET", path, host="open.test")
    free.read_head()
    program.wait_for_subscriptions(channel, 5)
    publish(program, channel, "nobody's;")
    publish(program, channel, "north;", "12")
    publish(program, channel, "south;", "13")
    publish(program, channel, "both;", "12, 14")
    publish(program, channel, "west;", "15")
    publish(program, channel, "all", "*")
    for name, texts in {
        "12": ["north;", "both;", "all"],
        "13": ["south;", "all"],
        "['13', '14']": ["south;", "both;", "all"],
    }.items():
        text = "".join(texts)
        got = ""
        while not got.endswith("all"):
            got += streams[name].read_chunk().decode()
        assert got == text
    got = ""
    while not got.endswith("all"):
        got += free.read_chunk().decode()
    assert got == "nobody's;north;south;both;west;all"
    program.wait_for_log(rf"item without scope .*channel={channel} claim=agency")


def test_long_polls_and_their_close(connect, backend, program, path, channel):
    backend.scripts[path] = held(channel, "response")
    north, south = connect(), connect()
    for client, agency in ((north, "12"), (south, "13")):
        client.request("GET", path, bearer(agency))
    program.wait_for_subscriptions(channel, 2)
    publish(program, channel, "nobody's")
    publish(program, channel, "south", "13")
    assert south.read_reply().body == b"south"
    publish(program, channel, "north", "12")
    assert north.read_reply().body == b"north"


@pytest.mark.parametrize("host", ["test", "passed.test"])
def test_websockets_that_listen_to_more_and_more(websocket, backend, program, path, channel, host):
    backend.scripts[path] = over_http()
    clients = {}
    for agency in ("12", "13"):
        client = clients[agency] = websocket()
        client.open(path, bearer(agency), host=host)
        for name in (channel, f"{channel}-named/{{claims.agency}}", channel):
            client.send(TEXT, name.encode())
            assert client.read().content == b"listening to " + name.encode()
    publish(program, channel, "nobody's")
    publish(program, channel, "north", "12")
    publish(program, channel, "south", "13")
    publish(program, f"{channel}-named/12", "to north")
    publish(program, f"{channel}-named/12", "to nobody", "13")
    publish(program, f"{channel}-named/{{claims.agency}}", "to nobody")
    publish(program, f"{channel}-named/13", "to south")
    publish(program, channel, "all", "*")
    for agency, texts in {"12": ["north", "to north"], "13": ["south", "to south"]}.items():
        got = [clients[agency].read().content.decode() for _ in range(3)]
        assert got == [*texts, "all"]


def test_a_channel_that_is_named_by_the_claim_only_later(
    websocket, backend, program, path, channel
):
    """It was called by its whole name before, as a shared one: by now its items need no meta."""
    backend.scripts[path] = over_http()
    client = websocket()
    client.open(path, bearer("12"))
    for name in (f"{channel}/12", f"{channel}/{{claims.agency}}"):
        client.send(TEXT, name.encode())
        assert client.read().content == b"listening to " + name.encode()
    publish(program, f"{channel}/12", "to nobody", "13")
    publish(program, f"{channel}/12", "own")
    publish(program, f"{channel}/12", "all", "*")
    assert [client.read().content for _ in range(2)] == [b"own", b"all"]


def test_a_session_of_sockjs(connect, backend, program, path, channel):
    backend.scripts["/sock"] = over_http(channel)
    where = f"/sock/000/{channel}/xhr"
    client = connect()

    def receive(agency):
        client.request("POST", where, bearer(agency))
        return client.read_reply(to="POST")

    assert receive("12").body == b"o\n"
    listening = json.dumps([f"listening to {channel}"])
    assert receive("12").body.decode() == f"a{listening}\n"
    publish(program, channel, "south", "13")
    publish(program, channel, "north", "12")
    assert receive("13").status == 404  # the session is not of who has another scope by now
    assert receive(None).status == 403
    assert receive("12").body == b'a["north"]\n'


# -- channels that are named by a claim ----------------------------------------------------


def test_a_backend_names_channels_by_the_claim(connect, backend, program, path, channel):
    backend.scripts[path] = held(f"{channel}/{{claims.agency}}")
    streams = []
    for agency in ("12", "12/admin", ["13", "14"]):
        stream = connect()
        stream.request("GET", path, bearer(agency))
        assert stream.read_head().status == 200
        streams.append(stream)
    for name in ("12/admin", "12", "12%2Fadmin", "13", "14"):
        publish(program, f"{channel}/{name}", f"{name};")
        publish(program, f"{channel}/{name}", "to nobody", "15")
        publish(program, f"{channel}/{name}", "all", "*")
    first, odd, two = streams
    assert first.read_chunk() + first.read_chunk() == b"12;all"
    assert odd.read_chunk() + odd.read_chunk() == b"12%2Fadmin;all"
    assert b"".join(two.read_chunk() for _ in range(4)) == b"13;all14;all"


def test_whoever_is_named_plainly_gets_only_what_is_meant_for_them(
    connect, backend, program, path, channel
):
    """A backend that names the wrong channel gives nothing away."""
    backend.scripts[path] = held(f"{channel}/12")
    stream = connect()
    stream.request("GET", path, bearer("13"))
    stream.read_head()
    assert publish(program, f"{channel}/12", "to 12") == 0
    publish(program, f"{channel}/12", "all", "*")
    assert stream.read_chunk() == b"all"


def test_a_target_adds_a_channel_of_the_clients_own(
    connect, websocket, backend, program, path, channel
):
    backend.scripts[path] = held(channel)
    stream, agency = connect(), channel
    stream.request("GET", path, bearer(agency), host="implied.test")
    stream.read_head()
    publish(program, f"named/{agency}x", "others'")
    publish(program, f"named/{agency}", "own")
    publish(program, f"p-{channel}", "prefixed", agency)
    assert stream.read_chunk() == b"own"
    assert stream.read_chunk() == b"prefixed"
    backend.scripts[path] = over_http(f"{channel}/{{claims.agency}}")
    client = websocket()
    client.open(path, bearer(agency), host="implied.test")
    assert client.read().content.startswith(b"listening")
    publish(program, f"named/{agency}", "own")
    publish(program, f"p-{channel}/{agency}", "prefixed")
    assert [client.read().content for _ in range(2)] == [b"own", b"prefixed"]


def test_a_name_with_another_claim_is_refused(connect, websocket, backend, program, path):
    backend.scripts[path] = held("a/{claims.sub}")
    client = connect()
    client.request("GET", path, bearer("12"))
    assert client.read_reply().status == 502
    program.wait_for_log("names the claim 'sub'")
    backend.scripts[path] = over_http("a/{claims.sub}")
    refused = websocket()
    refused.open(path, bearer("12"))
    frames = [refused.read()]
    while frames[-1].opcode != CLOSE:
        frames.append(refused.read())
    assert frames[-1].close_code == 1011


# -- who has no claim ----------------------------------------------------------------------


@pytest.mark.parametrize("agency", [None, "", {"id": "12"}, True, []])
def test_who_has_no_claim_is_not_held(connect, websocket, backend, program, path, agency):
    for hold in ("stream", "response"):
        backend.scripts[path] = held("a", hold)
        client = connect()
        client.request("GET", path, bearer(agency))
        reply = client.read_reply()
        assert (reply.status, reply.body) == (403, b"Not allowed to wait for messages here.\n")
    called = len(backend.calls_to(path))
    for host in ("test", "passed.test"):
        refused = websocket()
        refused.ask(path, bearer(agency), host=host)
        assert refused.client.read_reply().status == 403
    assert len(backend.calls_to(path)) == called
    program.wait_for_log("request refused .*without the claim agency it can't be held")
    backend.scripts[path] = lambda call: call.respond(body=b"plain")
    client.request("GET", path, bearer(agency))
    assert client.read_reply().body == b"plain"


# -- the claim stays -----------------------------------------------------------------------


def renewal(*args, **options):
    return json.dumps({"type": "renew", "token": token(*args, **options)}).encode()


def test_a_websocket_is_renewed_for_the_same_agency_only(
    websocket, backend, program, path, channel
):
    backend.scripts[path] = over_http(channel)
    client = websocket()
    client.open(path, bearer(["12", "13"]))
    client.read()
    client.send(TEXT, renewal(["13", "12"], seconds=90))
    assert json.loads(client.read().content)["type"] == "renewed"
    publish(program, channel, "south", "13")
    assert client.read().content == b"south"
    client.send(TEXT, renewal(["12", "13", "14"], seconds=90))
    close = client.read()
    assert (close.close_code, close.close_reason) == (4403, "renewal refused")


def test_a_stream_is_renewed_for_the_same_agency_only(connect, backend, program, path, channel):
    backend.scripts[path] = held(channel)
    stream = connect()
    stream.request("GET", path, bearer("12"))
    connection_id = stream.read_head().get("connection-id")

    def renew(agency):
        client = connect()
        client.request("POST", f"/renew?connection-id={connection_id}", bearer(agency))
        return client.read_reply(to="POST").status

    for _ in range(4):  # by its own worker, and by the other
        assert renew("13") == 403
        assert renew("12") == 204
    publish(program, channel, "south", "13")
    publish(program, channel, "north", "12")
    assert stream.read_chunk() == b"north"


def test_who_is_of_another_agency_when_asked_again_is_closed(connect, backend, program, path):
    fields = ("Content-Type", "text/event-stream")
    backend.scripts[path] = held("a", "stream", fields)
    stream = connect()
    stream.request("GET", path, host="again.test")
    assert stream.read_until(b"event: revoked\ndata: credential revoked\n\n")


# -- ids and links -------------------------------------------------------------------------


def test_items_for_others_are_no_gap(connect, backend, program, path, channel):
    """The ids are of all items of the channel: nobody asks the backend because of those."""
    link = ("Grip-Link", f"<{path}-next>; rel=next")
    backend.scripts[path] = held(f"{channel}; prev-id=1", "stream", link)
    stream = connect()
    stream.request("GET", path, bearer("12"))
    stream.read_head()
    for number in range(2, 30):
        ids = {"id": str(number), "prev-id": str(number - 1)}
        publish(program, channel, f"{number};", "12" if number % 5 == 0 else "13", **ids)
    got = b""
    while got.count(b";") < 5:
        got += stream.read_chunk()
    assert got == b"5;10;15;20;25;"
    assert backend.calls_to(f"{path}-next") == []


def test_a_link_that_names_a_channel_by_the_claim(connect, backend, program, path, channel):
    """It was called by its whole name before, as a shared one: by now its items need no meta."""
    link = ("Grip-Link", f"<{path}-next>; rel=next")
    backend.scripts[path] = held(f"{channel}/12", "stream", link)
    backend.scripts[f"{path}-next"] = held(f"{channel}/{{claims.agency}}", "stream", link)
    stream = connect()
    stream.request("GET", path, bearer("12"))
    stream.read_head()
    program.publish(
        f"{channel}/12", http_stream={"action": "hint"}, fields={"meta": {"agency": "12"}}
    )
    backend.wait_for(f"{path}-next")
    ends_at = time.monotonic() + DEADLINE_SECONDS
    while not publish(program, f"{channel}/12", "own"):
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    assert stream.read_chunk() == b"own"


def test_what_is_missed_is_asked_for_and_what_waits_meanwhile_stays_ones_own(
    connect, backend, program, path, channel
):
    may_answer = threading.Event()
    link = ("Grip-Link", f"<{path}-next>; rel=next")

    def fill(call):
        may_answer.wait(10)
        fields = [("Grip-Hold", "stream"), ("Grip-Channel", f"{channel}; prev-id=3"), link]
        call.respond(fields=fields, body=b"[2,3];")

    backend.scripts[path] = held(f"{channel}; prev-id=1", "stream", link)
    backend.scripts[f"{path}-next"] = fill
    stream = connect()
    stream.request("GET", path, bearer("12"))
    stream.read_head()

    def item(number, agency):
        ids = {"id": str(number), "prev-id": str(number - 1), "no-seq": True}
        publish(program, channel, f"{number};", agency, **ids)

    item(4, "13")  # not for this client, but items 2 and 3 may have been
    backend.wait_for(f"{path}-next")
    for number, agency in ((5, "12"), (6, "13"), (7, "13"), (8, "12")):
        item(number, agency)
    may_answer.set()
    got = b""
    while not got.endswith(b"8;"):
        got += stream.read_chunk()
    assert got == b"[2,3];5;8;"
    item(9, "13")
    item(10, "12")
    assert stream.read_chunk() == b"10;"
    assert len(backend.calls_to(f"{path}-next")) == 1


def test_a_poll_that_asks_again_stays_of_its_agency(connect, backend, program, path, channel):
    hold = held(f"{channel}; prev-id=1", "response", ("Grip-Timeout", "60"))
    backend.scripts[path] = hold
    poll = connect()
    poll.request("GET", path, bearer("12"))
    backend.wait_for(path)
    program.wait_for_subscriptions(channel, 1)

    def item(number, agency):
        ids = {"id": str(number), "prev-id": str(number - 1), "no-seq": True}
        publish(program, channel, f"{number}", agency, **ids)

    item(2, "13")
    backend.scripts[path] = held(f"{channel}; prev-id=4", "response", ("Grip-Timeout", "60"))
    item(4, "13")  # item 3 may have been for this client
    program.wait_for_subscriptions(channel, 2)
    [_, again] = backend.calls_to(path)
    assert again.get("grip-last") == f"{channel}; last-id=2"
    item(5, "13")
    item(6, "12")
    assert poll.read_reply().body == b"6"
    assert len(backend.calls_to(path)) == 2
