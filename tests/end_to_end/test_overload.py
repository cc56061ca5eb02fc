"""Limits of what clients may use together, through the real program."""

import re
import resource
import threading
import time
import urllib.request

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import CLOSE, TEXT, WebSocketClient, encode_frame

CONFIG = """
[metrics]
listen = "127.0.0.1:{metrics}"

[[route]]
id = "any"
targets = [{{ url = "{url}" }}]
"""
# Reached again with everyone who waits.
AT_LEAST = {"server.max_retained_body_bytes", "server.max_connections", "open_files"}
CONTENT = "x" * 100_000


@pytest.fixture
def limited(start_own, backend):
    """Starts a program with such limits, which has metrics."""
    with reserved_ports(1) as (metrics,):

        def start(server, **options):
            program = start_own(
                CONFIG.format(url=backend.url, metrics=metrics), server=server, **options
            )
            program.metrics = metrics
            return program

        yield start


def wait_for_count(program, limit, count):
    """Come back when a limit was reached so often."""
    end = time.monotonic() + DEADLINE_SECONDS
    while (reached := limits_of(program)[limit]) < count:
        assert time.monotonic() < end, reached
        time.sleep(0.05)
    assert reached == count or limit in AT_LEAST


def limits_of(program):
    with urllib.request.urlopen(f"http://127.0.0.1:{program.metrics}/metrics") as answer:
        found = re.findall(r'_limits_total\{limit="([^"]+)"\} (\S+)', answer.read().decode())
    return {limit: float(count) for limit, count in found}


def held(program, path, **options):
    client = RawClient(program.address, **options)
    client.request("GET", path)
    client.read_head()
    return client


@pytest.fixture
def stream(backend, path):
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(200, fields, b"")
    return path


def test_who_takes_nothing_for_too_long_is_cut(limited, stream):
    program = limited("max_backlog_seconds = 0.2\nmax_backlog_bytes = 1_000_000_000")
    with (
        held(program, stream, receive_buffer_bytes=4096) as slow,
        held(program, stream) as quick,
    ):
        while program.publish(stream, http_stream={"content": CONTENT}) == 2:
            assert quick.read_chunk() == CONTENT.encode()
        assert quick.read_chunk() == CONTENT.encode()
        program.wait_for_log("max_backlog_seconds")
        with pytest.raises(CutShort):
            slow.read_until(b"\r\n0\r\n\r\n")
        wait_for_count(program, "server.max_backlog_seconds", 1)
        program.publish(stream, http_stream={"content": "still there"})
        assert quick.read_chunk() == b"still there"


def test_of_all_who_are_slow_those_who_owe_most_are_cut(limited, stream):
    program = limited("max_total_backlog_bytes = 2_000_000\nmax_backlog_bytes = 1_000_000_000")
    with (
        held(program, stream, receive_buffer_bytes=4096) as slow,
        held(program, stream) as quick,
    ):
        while program.publish(stream, http_stream={"content": CONTENT}) == 2:
            assert quick.read_chunk() == CONTENT.encode()
        with pytest.raises(CutShort):
            slow.read_until(b"\r\n0\r\n\r\n")
        wait_for_count(program, "server.max_total_backlog_bytes", 1)


def test_without_open_files_new_clients_wait_and_the_others_are_served(limited, backend, path):
    program = limited("", log='level = "warning"')
    backend.scripts[path] = lambda call: call.respond(200, [], b"served")
    pid = program.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    first = RawClient(program.address)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (80, hard))
    waiting = [RawClient(program.address) for _ in range(80)]
    try:
        program.wait_for_log("out of open files")
        first.request("GET", path)
        assert first.read_reply().body == b"served"
        waiting[-1].request("GET", path)
        before = program.cpu_seconds
        time.sleep(0.5)
        assert program.cpu_seconds - before < 0.4  # nobody spins
        assert len(program.log.splitlines()) < 10
        for client in waiting[:-1]:
            client.close()
        assert waiting[-1].read_reply().body == b"served"
    finally:
        for client in (first, *waiting):
            client.close()
    wait_for_count(program, "open_files", 1)


def test_those_for_whom_there_is_no_place_wait(limited, backend, path):
    program = limited("max_connections = 2")
    backend.scripts[path] = lambda call: call.respond(200, [], b"served")
    with RawClient(program.address) as first, RawClient(program.address) as second:
        for client in (first, second):
            client.request("GET", path)
            client.read_reply()
        with RawClient(program.address) as third:
            third.request("GET", path)
            program.wait_for_log("max_connections is reached")
            first.close()
            assert third.read_reply().body == b"served"
    wait_for_count(program, "server.max_connections", 1)


LIMITED_ROUTE = """
[[route]]
id = "few"
host = "few"
max_connections = 2
targets = [{{ url = "{url}", over_http = true }}]
"""


def ask(program, path, method="GET", body=None, host="few"):
    with RawClient(program.address) as client:
        client.request(method, path, [], body, host=host)
        return client.read_reply()


def test_a_route_has_only_so_many_clients(start_own, backend, stream, path):
    """Those that are held count as those that are served; others are told to come again."""
    program = start_own(LIMITED_ROUTE.format(url=backend.url))
    clients = [RawClient(program.address) for _ in range(2)]
    for client in clients:
        client.request("GET", stream, host="few")
        client.read_head()
    refusal = ask(program, path)
    assert (refusal.status, refusal.get("retry-after")) == (503, "5")
    assert refusal.body == b"Too many connections.\n"
    program.wait_for_log("problem=.?Too many connections")
    clients[0].close()
    end = time.monotonic() + DEADLINE_SECONDS
    backend.scripts[path + "-free"] = lambda call: call.respond(200, [], b"served")
    while ask(program, path + "-free").status != 200:
        assert time.monotonic() < end
    for _ in range(5):  # each gives its place back
        assert ask(program, path + "-free").status == 200
    clients[1].close()


def test_a_place_is_free_again_after_a_failure(start_own, backend, path):
    program = start_own(LIMITED_ROUTE.format(url=backend.url))
    backend.scripts[path] = lambda call: call.cut()
    for _ in range(4):
        assert ask(program, path).status == 502


def test_a_limit_goes_for_new_connections_after_a_reload(start_own, backend, stream, path):
    rest = LIMITED_ROUTE.format(url=backend.url)
    program = start_own(rest)
    with RawClient(program.address) as client:
        client.request("GET", stream, host="few")
        client.read_head()
        program.reload(rest.replace("max_connections = 2", "max_connections = 1"))
        assert ask(program, stream).status == 503
        program.reload(rest.replace("max_connections = 2", "max_connections = 3"))
        backend.scripts[path + "-free"] = lambda call: call.respond(200, [], b"served")
        assert ask(program, path + "-free").status == 200


OVER_HTTP = """
[[route]]
id = "over-http"
host = "over-http"
targets = [{{ url = "{url}", over_http = true }}]
"""


def test_websockets_keep_only_so_many_bytes_for_slow_backends(start_own, backend, path):
    """What is under way to a backend that does not answer, and what waits behind it."""
    settings = "max_retained_body_bytes = 150_000"
    program = start_own(OVER_HTTP.format(url=backend.url), server=settings)
    gate, fields = threading.Event(), [("Content-Type", CONTENT_TYPE)]

    def script(call):
        events = read_events(call.body)
        if events != [("OPEN", b"")]:
            gate.wait(DEADLINE_SECONDS)
        answers = ["OPEN" if kind == "OPEN" else (kind, content) for kind, content in events]
        call.respond(fields=fields, body=write_events(*answers))

    backend.scripts[path] = script
    clients = [WebSocketClient(RawClient(program.address)) for _ in range(3)]
    for client in clients:
        client.open(path, host="over-http")
    first, second, third = clients
    first.client.send(2 * encode_frame(TEXT, b"x" * 30_000))
    backend.wait_for(path, 4)
    second.send(TEXT, b"y" * 60_000)
    backend.wait_for(path, 5)
    third.send(TEXT, b"z" * 40_000)
    frame = third.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1013)
    program.wait_for_log("server.max_retained_body_bytes")
    gate.set()
    assert [first.read().content for _ in range(2)] == [b"x" * 30_000] * 2
    assert second.read().content == b"y" * 60_000
    for client in (first, second) * 2:  # what is taken is given back
        client.send(TEXT, b"z" * 100_000)
        assert client.read().content == b"z" * 100_000
    for client in clients:
        client.client.close()
    backend.wait_for(path, 13)
    with RawClient(program.address) as client:
        last = WebSocketClient(client)
        last.open(path, host="over-http")
        last.send(TEXT, b"z" * 145_000)
        assert last.read().content == b"z" * 145_000


def test_long_polls_keep_only_so_many_bytes(limited, backend, path):
    program = limited("max_retained_body_bytes = 100_000")
    fields = [("Grip-Hold", "response"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(200, fields, b"")
    body = b"x" * 40_000
    first, second = RawClient(program.address), RawClient(program.address)
    for number, client in enumerate((first, second), 1):
        client.request("POST", path, [], body)
        program.wait_for_subscriptions(path, number)
    refusal = ask(program, path, "POST", body, "any")
    assert (refusal.status, refusal.get("retry-after")) == (503, "5")
    assert refusal.body == b"Too many requests are held.\n"
    # What is not held passes.
    backend.scripts[path + "-other"] = lambda call: call.respond(200, [], b"%d" % len(call.body))
    assert ask(program, path + "-other", "POST", body, "any").body == b"40000"
    # Who is answered or has left keeps nothing.
    program.publish(path, http_response={"body": "now"})
    assert [client.read_reply().body for client in (first, second)] == [b"now"] * 2
    for number, client in enumerate((first, second), 3):
        client.request("POST", path, [], body)
        program.wait_for_subscriptions(path, number)
        client.close()
        program.wait_for_no_subscribers(path)
    third = RawClient(program.address)
    third.request("POST", path, [], body)
    program.wait_for_subscriptions(path, 5)
    third.close()
    wait_for_count(program, "server.max_retained_body_bytes", 2)
