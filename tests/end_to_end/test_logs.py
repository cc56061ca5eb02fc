"""What is logged of requests, through the real program, in each format."""

import json
import re
from functools import partial

import pytest

from realtime_proxy.testing.raw_client import RawClient

ROUTES = """
[forwarded]
trusted_proxies = ["127.0.0.0/8"]

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
id = "named"
host = "named"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "silent"
log_level = "warning"
targets = [{{ url = "{url}" }}]

[[route]]
host = "loud"
log_level = "info"
targets = [{{ url = "{url}" }}]

[[route]]
host = "dead"
targets = [{{ url = "http://127.0.0.1:1" }}]
"""
PUSHPIN = 'format = "pushpin"'
STAMP = r"\[INFO\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[(?:proxy|handler)\] "


@pytest.fixture(scope="module")
def start_logging(start, backend):
    return partial(start, ROUTES.format(url=backend.url))


@pytest.fixture(scope="module")
def program(start_logging):
    return start_logging(log=f"{PUSHPIN}\nclient_address = true\nuser_agent = true")


@pytest.fixture
def answer(backend, path):
    def order(status, *fields, body=b""):
        backend.scripts[path] = lambda call: call.respond(status, fields, body)

    return order


def line_of(program, text):
    """Wait for a line with exactly this text, but for its time; `BACKEND` is any address."""
    pattern = re.escape(text).replace("BACKEND", r"127\.0\.0\.1:\d+")
    return program.wait_for_log(f"(?m)^{STAMP}{pattern}$")


def test_the_life_of_the_program(start_own, backend):
    program = start_own(ROUTES.format(url=backend.url), log=PUSHPIN)
    program.wait_for_log("started")  # before, a signal would end it at once
    program.stop()
    said = re.findall(r"(?m)^\[INFO\] [-\d]+ [:.\d]+ (?:\[proxy\] )?(.*)$", program.log)
    assert said == [
        "starting...",
        "routes loaded with 5 entries",
        "started",
        "stopping...",
        "stopped",
    ]


def test_an_answer(program, connect, answer, path):
    answer(200, body=b"hello world\n")
    fields = [("Referer", "http://ex.org/?token=x"), ("User-Agent", "curl/8")]
    connect().request("GET", f"{path}?a=%20&token=secret", fields, host="ex.org")
    line_of(
        program,
        f"GET http://ex.org{path}?a=%20&token=*** -> BACKEND from=127.0.0.1 "
        "ref=http://ex.org/?token=*** code=200 12 ua=curl/8",
    )
    assert "secret" not in program.log


def test_the_body_of_a_long_answer_is_counted(program, connect, answer, path):
    answer(200, body=b"x" * 300_000)
    client = connect()
    client.request("GET", path)
    client.read_reply()
    program.wait_for_log(rf"{path} -> \S+ from=\S+ code=200 300000\n")


def test_an_answer_without_a_body(program, connect, answer, path):
    answer(200, body=b"hello")
    connect().request("HEAD", path)
    program.wait_for_log(rf"HEAD \S+{path} -> \S+ from=\S+ code=200 0\n")


def test_nobody_to_ask(program, connect, path):
    connect().request("GET", path, host="dead")
    program.wait_for_log(rf"GET http://dead{path} -> 127.0.0.1:1 from=127.0.0.1 code=502 \d+\n")


def test_a_response_cut_short(program, connect, backend, path):
    def half(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        call.close()

    backend.scripts[path] = half
    connect().request("GET", path)
    program.wait_for_log(rf"GET \S+{path} -> \S+ from=127.0.0.1 error\n")


def test_a_hold_and_its_repetition(program, connect, backend, path):
    held = [
        ("Grip-Hold", "response"),
        ("Grip-Channel", f"{path}; prev-id=1"),
        ("Grip-Timeout", "60"),
    ]
    answers = iter([held, []])
    backend.scripts[path] = lambda call: call.respond(200, next(answers), b"")
    client = connect()
    client.request("GET", path, [("X-Forwarded-For", "192.0.2.7")], host="named")
    line_of(program, f"GET http://named{path} -> BACKEND from=192.0.2.7 route=named accept")
    line_of(program, f"subscribe http://named{path} channel={path}")
    program.publish_until_taken(path, http_response={"action": "hint"})
    assert client.read_reply().status == 200
    line_of(
        program,
        f"GET http://named{path} -> BACKEND from=192.0.2.7 route=named code=200 0 retry #{path}=1",
    )
    line_of(program, f"publish channel={path} receivers=1")


def test_links(program, connect, backend, path):
    links = f"<{path}-next>; rel=next, <{path}-gone>; rel=gone"
    backend.scripts[path] = lambda call: call.respond(200, [("Grip-Link", links)], b"a")
    backend.scripts[f"{path}-next"] = lambda call: call.respond(200, [], b"bcd")
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"abcd"
    program.wait_for_log(rf"GET http://test{path} -> \S+ from=\S+ accept\n")
    line_of(program, f"GET http://test{path}-next -> BACKEND code=200 3")
    line_of(program, f"POST http://test{path}-gone -> BACKEND code=200 0")


def test_websockets(program, websocket, backend, path):
    backend.scripts[path] = lambda call: call.respond(
        200,
        [
            ("Content-Type", "application/websocket-events"),
            ("Sec-WebSocket-Extensions", "grip"),
        ],
        b"OPEN\r\nTEXT %x\r\nc:%b\r\n" % (len(message := _subscribe(path)) + 2, message),
    )
    websocket().open(path)
    program.wait_for_log(rf"GET ws://\S+{path} -> \S+\[http\] from=127.0.0.1 code=101 0\n")
    program.wait_for_log(rf"subscribe ws://\S+{path} channel={path}\n")


def _subscribe(channel):
    return json.dumps({"type": "subscribe", "channel": channel}).encode()


def test_a_websocket_refused(program, websocket, answer, path):
    answer(403, body=b"no\n")
    client = websocket()
    client.ask(path)
    assert client.client.read_reply().status == 403
    program.wait_for_log(rf"GET ws://\S+{path} -> \S+\[http\] from=127.0.0.1 code=403 3\n")


def test_a_client_that_leaves_before_it_is_answered(program, connect, backend, path):
    def wait(call):
        client.close()
        call.hang()

    backend.scripts[path] = wait
    client = connect()
    client.request("GET", path)
    program.wait_for_log(rf"GET \S+{path} from=127.0.0.1 error\n")


def test_a_route_has_a_level_of_its_own(start_logging, backend, path):
    backend.scripts[path] = lambda call: call.respond(200, [], b"")
    quiet = start_logging(log=f'{PUSHPIN}\nlevel = "warning"')

    for host in ("ex.org", "loud"):
        with RawClient(quiet.address) as client:
            client.request("GET", path, host=host)
            client.read_reply()
    quiet.wait_for_log(f"GET http://loud{path}")
    assert "ex.org" not in quiet.log


def test_a_route_may_be_silent(program, connect, answer, path):
    answer(200)
    for host in ("silent", "named"):
        client = connect()
        client.request("GET", path, host=host)
        client.read_reply()
    program.wait_for_log(f"GET http://named{path}")
    assert "//silent" not in program.log


def test_the_same_as_json(start_logging, backend, path):
    backend.scripts[path] = lambda call: call.respond(200, [], b"hello")
    program = start_logging(log='format = "json"')
    with RawClient(program.address) as client:
        client.request("GET", f"{path}?jwt=x", host="named")
        client.read_reply()
    program.wait_for_log('"event": ?"request"')
    line = next(line for line in program.log.splitlines() if '"request"' in line)
    record = json.loads(line)
    del record["timestamp"], record["backend"]
    assert record == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "uri": f"http://named{path}?jwt=***",
        "route": "named",
        "result": "code",
        "status": 200,
        "bytes": 5,
    }
