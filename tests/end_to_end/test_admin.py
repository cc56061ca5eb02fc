"""The admin port of two workers, as operators and load balancers use it."""

import contextlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, Ending, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import CLOSE, WebSocketClient

# So many connections that neither worker is without some: one in a million runs.
MANY = 20

CONFIG = """
[admin]
listen = "127.0.0.1:{port}"
{more}

[[handler.key_auth.consumers]]
username = "alice"
keys = ["supersecret"]

[handler.access_log]
heartbeat_seconds = 0

[[route]]
id = "named"
handlers = ["access_log"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
id = "guarded"
host = "guarded"
handlers = ["access_log", "key_auth"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
id = "passed"
host = "passed"
handlers = ["access_log"]
targets = [{{ url = "{origin}" }}]
"""
PROGRAM = Path(sys.executable).with_name("realtime-proxy")
KEY = [("apikey", "supersecret")]


class Admin:
    """Asks the admin port of a program."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)

    def ask(self, target, method="GET", **fields):
        """The status and the decoded answer."""
        with RawClient(self.address) as client:
            headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
            client.request(method, target, headers)
            reply = client.read_reply()
        return reply.status, json.loads(reply.body)

    def listed(self, query):
        """All connections meant, page by page."""
        found, after = [], ""
        while after is not None:
            status, body = self.ask(f"/connections?{query}{after and '&after=' + after}")
            assert status == 200, body
            found += body["connections"]
            after = body["next"]
        return found

    def wait_for(self, query, count):
        """The connections meant, once there are so many."""
        end = time.monotonic() + DEADLINE_SECONDS
        while len(found := self.listed(query)) != count:
            assert time.monotonic() < end, found
            time.sleep(0.01)
        return found

    def wait_until(self, target, is_so):
        """Ask until the answer is as it should be; that answer."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not is_so(answer := self.ask(target)):
            assert time.monotonic() < end, answer
            time.sleep(0.01)
        return answer


def holds(call):
    """Hold as the path says: `/stream/CHANNEL`, `/sse/…`, `/response/…` or `/ws/…`."""
    kind, name = call.target.partition("?")[0].split("/")[1:3]
    if kind == "ws":
        events = ["OPEN"] if b"OPEN" in call.body else []
        control = b"c:" + json.dumps({"type": "subscribe", "channel": name}).encode()
        events += [("TEXT", control), ("TEXT", b"m:hello")] if events else []
        fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
        call.respond(fields=fields, body=write_events(*events))
    else:
        mode = "response" if kind == "response" else "stream"
        fields = [("Grip-Hold", mode), ("Grip-Channel", name), ("Grip-Timeout", "3600")]
        if kind == "sse":
            fields.append(("Content-Type", "Text/Event-Stream; charset=utf-8"))
        call.respond(fields=fields, body=b"later" if mode == "response" else b"begin ")


@pytest.fixture(autouse=True)
def _holds(backend):
    backend.answer = holds


class Origin:
    """A backend that speaks WebSocket, says nothing, and keeps how its connections end."""

    def __init__(self):
        self.codes = queue.Queue()
        self._server = serve(self._listen, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _listen(self, connection):
        for _ in connection:
            pass
        self.codes.put((connection.request.path, connection.close_code))

    def close(self):
        self._server.shutdown()


@pytest.fixture(scope="module")
def origin():
    with contextlib.closing(Origin()) as origin:
        yield origin


@pytest.fixture(scope="module")
def program(start, backend, origin):
    with reserved_ports(1) as (port,):
        config = CONFIG.format(port=port, more="", url=backend.url, origin=origin.url)
        program = start(config, server="workers = 2")
    program.wait_for_log("serving ")
    program.admin = Admin(port)
    return program


@pytest.fixture
def admin(program):
    return program.admin


@pytest.fixture
def name(request):
    """A channel that no other test uses."""
    return re.sub(r"\W+", "-", request.node.name)


@pytest.fixture
def open_stream(connect):
    """Open a stream, and read up to where items begin."""

    def open_one(target, fields=(), **options):
        client = connect()
        client.request("GET", target, fields, **options)
        assert client.read_head().status == 200
        assert client.read_chunk() == b"begin "
        return client

    return open_one


def test_it_is_ready_with_all_workers(admin):
    assert admin.ask("/livez") == (200, {"status": "alive"})
    assert admin.ask("/readyz") == (200, {"status": "ready", "workers": 2})


@pytest.fixture
def start_admin(start_own, backend):
    """Start a program that the test ends, and ask its admin port."""

    def start_one(more="", **options):
        with reserved_ports(1) as (port,):
            program = start_own(
                CONFIG.format(port=port, more=more, url=backend.url, origin="http://127.0.0.1:1"),
                **options,
            )
        program.wait_for_log("serving ")
        program.admin = Admin(port)
        return program

    return start_one


# -- what is listed --------------------------------------------------------------------------------


def test_every_kind_is_listed_with_what_is_known_of_it(
    program, admin, open_stream, connect, websocket, backend, name
):
    before = time.time()
    open_stream(f"/stream/{name}?token=secret&x=1", KEY, host="guarded")
    open_stream(f"/sse/{name}")
    poll = connect()
    poll.request("GET", f"/response/{name}")
    over_http, passed = websocket(), websocket()
    over_http.open(f"/ws/{name}")
    assert over_http.read().content == b"hello"
    passed.open(f"/passed/{name}", host="passed")
    slow = connect()
    backend.scripts[f"/slow/{name}"] = lambda call: call.hang()
    slow.request("GET", f"/slow/{name}", KEY, host="guarded")
    backend.wait_for(f"/slow/{name}")
    admin.wait_for(f"channel={name}", 4)
    found = {one["kind"]: one for one in admin.listed("") if name in one["uri"]}
    assert set(found) == {
        *("http-stream", "sse", "response", "websocket-over-http", "websocket", "request"),
    }
    for kind, one in found.items():
        assert one["client_address"] == "127.0.0.1"
        assert before - 1 < one["opened_at"] < time.time() + 1
        assert 0 <= one["age_seconds"] < time.time() - before + 1
        assert one["worker"] in (0, 1)
        assert (one["backlog_bytes"], one["expires_at"]) == (0, None)
        assert one["channels"] == ([] if kind in ("websocket", "request") else [name])
        assert one["messages_sent"] == (kind == "websocket-over-http")
    stream = found["http-stream"]
    assert stream["uri"] == f"http://guarded/stream/{name}?token=***&x=1"
    assert (stream["route"], stream["consumer"]) == ("guarded", "alice")
    assert stream["bytes_sent"] > len("begin ")
    assert (found["sse"]["route"], found["sse"]["consumer"]) == ("named", None)
    assert found["websocket"]["uri"] == f"ws://passed/passed/{name}"
    assert found["websocket-over-http"]["id"] == backend.wait_for(f"/ws/{name}").get(
        "connection-id"
    )
    assert (found["request"]["consumer"], found["request"]["route"]) == ("alice", "guarded")
    for one in found.values():
        assert admin.ask(f"/connections/{one['id']}")[1]["uri"] == one["uri"]


def test_messages_are_counted_that_clients_get(program, admin, open_stream, websocket, name):
    stream, client = open_stream(f"/stream/{name}"), websocket()
    client.open(f"/ws/{name}")
    assert client.read().content == b"hello"
    for content in ("one", "two"):
        program.publish(name, http_stream={"content": content}, ws_message={"content": content})
    assert stream.read_chunk() + stream.read_chunk() == b"onetwo"
    assert client.read().content + client.read().content == b"onetwo"
    counts = {one["kind"]: one["messages_sent"] for one in admin.listed(f"channel={name}")}
    assert counts == {"http-stream": 2, "websocket-over-http": 3}


def test_pages_have_everybody_once(admin, open_stream, name):
    for _ in range(MANY):
        open_stream(f"/stream/{name}")
    everybody = admin.wait_for(f"channel={name}&limit=1000", MANY)
    assert {one["worker"] for one in everybody} == {0, 1}
    for limit in (1, 3, MANY):
        pages = admin.listed(f"channel={name}&limit={limit}")
        assert [one["id"] for one in pages] == [one["id"] for one in everybody]
    first, second = everybody[:2]
    status, body = admin.ask(f"/connections?channel={name}&limit=1")
    assert (status, [one["id"] for one in body["connections"]]) == (200, [first["id"]])
    assert admin.listed(f"id={second['id']}&kind=http-stream&route=named")[0]["id"] == second["id"]
    assert admin.listed(f"id={second['id']}&kind=sse") == []


def test_a_connection_between_two_requests_is_not_listed(admin, connect, backend, name):
    client = connect()
    backend.scripts[f"/done/{name}"] = lambda call: call.respond(body=b"done")
    client.request("GET", f"/done/{name}")
    assert client.read_reply().body == b"done"
    assert [one for one in admin.listed("") if name in one["uri"]] == []


def test_channels_are_added_up(program, admin, open_stream, websocket, name):
    for _ in range(MANY):
        open_stream(f"/stream/{name}")
    client = websocket()
    client.open(f"/ws/{name}")
    program.publish(name, fields={"id": "7"}, http_stream={"content": "x"})
    admin.wait_for(f"channel={name}", MANY + 1)
    status, channel = admin.ask(f"/channels/{name}")
    assert status == 200
    assert channel["subscribers"] == {"http-stream": MANY, "websocket": 1}
    assert sum(channel["workers"].values()) == MANY + 1
    assert set(channel["workers"]) == {"0", "1"}
    assert (channel["name"], channel["last_id"]) == (name, "7")
    assert channel in admin.ask("/channels?limit=1000")[1]["channels"]


def test_names_of_channels_are_percent_encoded(admin, open_stream, backend):
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", "a/b c")]
    backend.scripts["/odd"] = lambda call: call.respond(fields=fields, body=b"begin ")
    open_stream("/odd")
    assert admin.ask("/channels/a%2Fb%20c")[1]["subscribers"] == {"http-stream": 1}
    assert admin.wait_for("channel=a/b+c", 1)[0]["channels"] == ["a/b c"]
    status, body = admin.ask("/channels/a%2Fb")
    assert (status, body["error"]) == (404, "there is no channel 'a/b'")
    assert admin.ask("/channels/%ff")[0] == 400


# -- what is closed --------------------------------------------------------------------------------


def test_every_kind_ends_in_its_way(program, admin, open_stream, connect, websocket, backend, name):
    keyed = {"host": "guarded"}
    streams = (
        open_stream(f"/stream/{name}", KEY, **keyed),
        open_stream(f"/sse/{name}", KEY, **keyed),
    )
    poll, slow, other = connect(), connect(), open_stream(f"/stream/{name}")
    poll.request("GET", f"/response/{name}", KEY, **keyed)
    client = websocket()
    client.open(f"/ws/{name}", KEY, **keyed)
    assert client.read().content == b"hello"
    backend.scripts[f"/slow/{name}"] = lambda call: call.hang()
    slow.request("GET", f"/slow/{name}", KEY, **keyed)
    backend.wait_for(f"/slow/{name}")
    admin.wait_for("consumer=alice&route=guarded", 5)
    status, body = admin.ask(
        "/connections?consumer=alice&route=guarded&code=4000&reason=so%20long", "DELETE"
    )
    assert (status, body) == (200, {"closed": 5})
    for stream in streams:
        assert stream.read_chunk() == b""
    assert poll.read_reply().body == b"later"
    close = client.read()
    assert (close.opcode, close.close_code, close.close_reason) == (CLOSE, 4000, "so long")
    with pytest.raises(CutShort):
        slow.read_head()
    client.send_close(4000)
    admin.wait_for("consumer=alice&route=guarded", 0)
    program.publish(name, http_stream={"content": "on"})
    assert other.read_chunk() == b"on"
    for path in ("stream", "sse", "response", "ws"):
        program.wait_for_log(rf"connection closed.*/{path}/{name}.*reason=admin-closed")
    program.wait_for_log(rf"request answered.*/slow/{name}.*reason=admin-closed")
    program.wait_for_log(r"connections closed.*closed=5.*consumer=alice")


def test_a_stream_that_is_closed_leaves_its_connection_to_the_next_request(
    admin, open_stream, backend, name
):
    client = open_stream(f"/stream/{name}")
    [one] = admin.wait_for(f"channel={name}", 1)
    assert admin.ask(f"/connections/{one['id']}", "DELETE") == (200, {"closed": 1})
    assert client.read_chunk() == b""
    backend.scripts[f"/next/{name}"] = lambda call: call.respond(body=b"next")
    client.request("GET", f"/next/{name}")
    assert client.read_reply().body == b"next"
    status, body = admin.ask(f"/connections/{one['id']}", "DELETE")
    assert status == 404
    assert one["id"] in body["error"]


def test_a_websocket_to_its_backend_is_closed_on_both_sides(admin, websocket, origin, name):
    client = websocket()
    client.open(f"/{name}", host="passed")
    [one] = [one for one in admin.listed("kind=websocket") if name in one["uri"]]
    assert admin.ask(f"/connections/{one['id']}", "DELETE")[0] == 200
    close = client.read()
    assert (close.close_code, close.close_reason) == (1008, "closed by operator")
    client.send_close(1008)
    assert client.client.wait_for_end() is Ending.CLOSED
    ends = iter(lambda: origin.codes.get(timeout=DEADLINE_SECONDS), None)
    assert next(code for path, code in ends if name in path) == 1005  # no code


PLAIN = """
[metrics]
listen = "127.0.0.1:{port}"

[[route]]
id = "plain"
host = "plain"
targets = [{{ url = "{url}", over_http = true }}]
"""


def test_without_handlers_the_reason_is_known_too(start_admin, backend, connect, name):
    with reserved_ports(1) as (port,):
        program = start_admin(PLAIN.format(port=port, url=backend.url))
    with RawClient(program.address) as client:
        websocket = WebSocketClient(client)
        websocket.open(f"/ws/{name}", host="plain")
        assert program.admin.ask("/connections?route=plain", "DELETE") == (200, {"closed": 1})
        close = websocket.read()
        while close.opcode != CLOSE:
            close = websocket.read()
        websocket.send_close(close.close_code)
        assert client.wait_for_end() is Ending.CLOSED
    counted = 'realtime_proxy_closed_total{reason="admin-closed",route="plain"} 1.0'
    end = time.monotonic() + DEADLINE_SECONDS
    while counted not in (text := metrics(port)).splitlines():
        assert time.monotonic() < end, text
        time.sleep(0.01)


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("", "which connections?"),
        ("consmer=alice", "no parameter `consmer`"),
        ("route=named&kind=sockets", "`kind` is `sockets`"),
        ("route=named&code=1006", "`code` is 1006"),
        ("route=named&reason=" + "x" * 124, "`reason` is too long"),
        ("route=a&route=b", "`route` is given twice"),
    ],
)
def test_what_makes_no_sense_closes_nobody(admin, open_stream, name, query, what):
    client = open_stream(f"/stream/{name}")
    status, body = admin.ask(f"/connections?{query}", "DELETE")
    assert status == 400
    assert what in body["error"]
    assert len(admin.wait_for(f"channel={name}", 1)) == 1
    client.close()


# -- as the manual and the commands have it ------------------------------------------------------


def manual_lines():
    """The commands of the manual's section, one by one."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    section = text.partition("## The admin port")[2].partition("\n## ")[0]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1].splitlines()


def test_what_the_manual_shows_works(program, admin, open_stream):
    open_stream("/stream/news", KEY, host="guarded")
    open_stream("/sse/news")
    admin.wait_for("channel=news", 2)
    answers = []
    for line in manual_lines():
        words = shlex.split(line)
        if words[0] == "curl":
            method = words[2] if words[1] == "-X" else "GET"
            base, _, rest = words[-1].removeprefix("http://").partition("/")
            assert base == "127.0.0.1:5564"
            status, answer = admin.ask(f"/{rest}", method)
            assert status == 200, answer
        else:
            run = [PROGRAM, *words[1:], "--config", program.file]
            answer = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        answers.append(answer)
    ready, connections, channel, closed, table, closed_again = answers
    assert ready == {"status": "ready", "workers": 2}
    assert [one["channels"] for one in connections["connections"]] == [["news"], ["news"]]
    assert channel["subscribers"] == {"http-stream": 2}
    assert closed == {"closed": 1}
    assert [line.split()[0] for line in table.splitlines()] == ["KIND", "sse"]
    assert closed_again == "0 closed\n"


def test_a_worker_that_dies_leaves_it_ready(start_admin):
    program = start_admin(server="workers = 2")
    os.kill(program.workers[0], signal.SIGKILL)
    program.wait_for_log("worker ended")

    def is_whole(answer):
        assert answer[0] == 200, answer
        return answer[1]["workers"] == 2

    program.admin.wait_until("/readyz", is_whole)


def test_a_changed_key_counts_at_once(start_admin, backend):
    program = start_admin()
    port = program.admin.address[1]
    program.reload(
        CONFIG.format(
            port=port, more='key = "sesame"', url=backend.url, origin="http://127.0.0.1:1"
        )
    )
    with RawClient(program.admin.address) as client:
        client.request("GET", "/nothing")
        assert client.read_reply().status == 401
    assert program.admin.ask("/nothing", Authorization="Bearer sesame")[0] == 404
    assert program.admin.ask("/livez")[0] == 200
    program.stop()
