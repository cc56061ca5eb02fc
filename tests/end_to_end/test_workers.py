"""Two workers behind one address: nobody can tell, and neither is missed when it dies."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, RawClient
from realtime_proxy.testing.websocket_client import TEXT, WebSocketClient

# So many connections that neither worker is without some: one in a million runs.
MANY = 20

ROUTES = """
[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "demo"
targets = [{{ demo = true }}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("unix")


@pytest.fixture(scope="module")
def program(start, backend, folder):
    program = start(
        ROUTES.format(url=backend.url), server="workers = 2", listen=f"unix:{folder}/socket"
    )
    program.wait_for_log("serving ")
    return program


@pytest.fixture
def own(start_own, backend):
    program = start_own(ROUTES.format(url=backend.url), server="workers = 2")
    program.wait_for_log("serving ")
    return program


def holds(call):
    """Hold as the path says: `/stream/CHANNEL,…`, `/response/CHANNEL` or `/ws/CHANNEL`."""
    kind, names = call.target.split("/")[1:3]
    if kind == "ws":
        events = ["OPEN"] if b"OPEN" in call.body else []
        for name in names.split(","):
            control = b"c:" + json.dumps({"type": "subscribe", "channel": name}).encode()
            events.append(("TEXT", control))
        fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
        call.respond(fields=fields, body=write_events(*events))
    else:
        fields = [("Grip-Hold", kind), ("Grip-Channel", names.replace(",", ", "))]
        call.respond(fields=fields, body=b"begin " if kind == "stream" else b"")


@pytest.fixture(autouse=True)
def _holds(backend):
    backend.answer = holds


@pytest.fixture
def clients():
    """Opens many connections; closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_many(program, count=MANY):
            return [stack.enter_context(RawClient(program.address)) for _ in range(count)]

        yield open_many


def open_streams(clients, channels):
    """Hold all of them, and read up to where items begin."""
    for client in clients:
        client.request("GET", f"/stream/{channels}")
    for client in clients:
        assert client.read_head().status == 200
        assert client.read_chunk() == b"begin "


def connections_of(pid):
    """How many sockets a process has."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    count = 0
    for link in links:
        with contextlib.suppress(FileNotFoundError):
            count += str(link.readlink()).startswith("socket:")
    return count


def wait_until(is_so, what):
    end = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def is_alive(pid):
    """Not ended, and no zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def publish_numbers(program, channel, numbers, format_="http-stream", batch=1):
    """Publish `N,` for each number, over one connection, several in one request."""
    with RawClient(("127.0.0.1", program.control_port)) as publisher:
        while part := list(itertools.islice(numbers, batch)):
            items = [
                {"channel": channel, "formats": {format_: {"content": f"{number},"}}}
                for number in part
            ]
            publisher.request("POST", "/publish/", body=json.dumps({"items": items}).encode())
            assert publisher.read_reply().status == 200


# -- nobody can tell -----------------------------------------------------------------------------


def test_an_item_reaches_the_clients_of_both_workers(own, clients):
    before = [connections_of(pid) for pid in own.workers]
    streams, polls, sockets = clients(own), clients(own), clients(own)
    open_streams(streams, "fan-out")
    for poll in polls:
        poll.request("GET", "/response/fan-out")
    websockets = [WebSocketClient(client) for client in sockets]
    for websocket in websockets:
        websocket.open("/ws/fan-out", [("Sec-WebSocket-Extensions", "grip")])
    own.wait_for_subscriptions("fan-out", 3 * MANY)
    stream, poll, message = {"content": "s"}, {"body": "r"}, {"content": "w"}
    payloads = {"http_stream": stream, "http_response": poll, "ws_message": message}
    assert own.publish("fan-out", **payloads) == 3 * MANY
    assert len(own.workers) == 2
    for pid, count in zip(own.workers, before, strict=True):
        assert connections_of(pid) > count
    assert [stream.read_chunk() for stream in streams] == [b"s"] * MANY
    assert [poll.read_reply().body for poll in polls] == [b"r"] * MANY
    assert [websocket.read().content for websocket in websockets] == [b"w"] * MANY


def test_many_channels_in_one_request(program, clients):
    names = [f"many-{number}" for number in range(MANY)]
    streams = clients(program)
    for name, stream in zip(names, streams, strict=True):
        open_streams([stream], name)
    items = [{"channel": name, "formats": {"http-stream": {"content": name}}} for name in names]
    with RawClient(("127.0.0.1", program.control_port)) as publisher:
        body = json.dumps({"items": items}).encode()
        publisher.request("POST", "/publish/", [("Prefer", "return=representation")], body)
        assert json.loads(publisher.read_reply().body)["matched"] == MANY
    assert [stream.read_chunk().decode() for stream in streams] == names


def test_one_subscriber_of_several_channels_gets_them_in_order(program, clients):
    streams = clients(program)
    open_streams(streams, "left,right")
    for content, channel in (("1", "left"), ("2", "right"), ("3", "left")):
        assert program.publish(channel, http_stream={"content": content}) == MANY
    for stream in streams:
        assert b"".join(stream.read_chunk() for _ in range(3)) == b"123"


def test_what_the_demo_publishes_reaches_both_workers(program, clients):
    streams = clients(program)
    for stream in streams:
        stream.request("GET", "/demo/events", host="demo")
    for stream in streams:
        stream.read_head()
        stream.read_chunk()
    (publisher,) = clients(program, 1)
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    publisher.request("POST", "/demo/publish", form, b"message=hello", host="demo")
    assert publisher.read_reply().status == 200
    assert {stream.read_chunk() for stream in streams} == {b"data: hello\n\n"}


def test_a_unix_socket_is_shared(program, folder):
    with contextlib.ExitStack() as stack:
        path = f"{folder}/socket"
        streams = [stack.enter_context(RawClient(path)) for _ in range(MANY)]
        open_streams(streams, "unix")
        assert program.publish("unix", http_stream={"content": "x"}) == MANY
        assert {stream.read_chunk() for stream in streams} == {b"x"}


def test_who_leaves_is_counted_no_more(program, clients):
    streams = clients(program)
    open_streams(streams, "leave")
    for stream in streams:
        stream.close()
    program.wait_for_no_subscribers("leave")


# -- order ---------------------------------------------------------------------------------------


def test_a_burst_keeps_its_order(program, clients):
    streams = clients(program)
    open_streams(streams, "burst")
    publish_numbers(program, "burst", iter(range(2_000)), batch=50)
    expected = "".join(f"{number}," for number in range(2_000)).encode()
    for stream in streams:
        got = b""
        while len(got) < len(expected):
            got += stream.read_chunk()
        assert got == expected


def test_who_comes_while_items_are_published_misses_none(program, clients):
    """From the first item on, each gets one after the other, up to the last."""
    is_over = threading.Event()
    count = itertools.count()

    def numbers():
        while not is_over.is_set():
            yield next(count)

    publisher = threading.Thread(target=publish_numbers, args=(program, "race", numbers()))
    publisher.start()
    streams = {}
    try:
        for _ in range(4):
            group = clients(program)
            open_streams(group, "race")
            streams |= {stream: stream.read_chunk() for stream in group}
    finally:
        is_over.set()
        publisher.join(DEADLINE_SECONDS)
    last = next(count)
    publish_numbers(program, "race", iter([last]))
    firsts = set()
    for stream, begin in streams.items():
        got = begin
        while f"{last},".encode() not in got:
            got += stream.read_chunk()
        first = int(got.partition(b",")[0])
        firsts.add(first)
        assert got == "".join(f"{number}," for number in range(first, last + 1)).encode()
    assert len(firsts) >= 4


def test_a_websocket_that_subscribes_while_items_are_published_misses_none(program, clients):
    is_over = threading.Event()
    count = itertools.count()

    def numbers():
        while not is_over.is_set():
            yield next(count)

    arguments = (program, "ws-race", numbers(), "ws-message")
    publisher = threading.Thread(target=publish_numbers, args=arguments)
    publisher.start()
    try:
        websockets = [WebSocketClient(client) for client in clients(program)]
        for websocket in websockets:
            websocket.open("/ws/ws-race", [("Sec-WebSocket-Extensions", "grip")])
    finally:
        is_over.set()
        publisher.join(DEADLINE_SECONDS)
    last = next(count)
    program.wait_for_subscriptions("ws-race", MANY)
    assert program.publish("ws-race", ws_message={"content": f"{last},"}) == MANY
    for websocket in websockets:
        expected = None
        while expected != last + 1:
            frame = websocket.read()
            assert frame.opcode == TEXT
            number = int(frame.content[:-1])
            assert expected in (None, number)
            expected = number + 1


# -- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_and_leaves_nothing(own, clients, number):
    workers = own.workers
    streams = clients(own)
    open_streams(streams, "end")
    assert len(list(own.folder.iterdir())) == 1
    own.process.send_signal(number)
    assert own.process.wait(DEADLINE_SECONDS) == 0
    assert not any(map(is_alive, workers))
    assert list(own.folder.iterdir()) == []
    own.check_log()
    for stream in streams:
        assert stream.read_chunk() == b""


def test_workers_end_with_a_supervisor_that_was_killed(own, clients):
    workers = own.workers
    (stream,) = clients(own, 1)
    open_streams([stream], "end")
    own.process.kill()
    own.process.wait()
    wait_until(lambda: not any(map(is_alive, workers)), "a worker has survived")
    assert list(own.folder.iterdir()) == []
    with contextlib.suppress(CutShort):  # may be a reset
        assert stream.read_to_end() == b""
    with pytest.raises(ConnectionRefusedError):
        RawClient(own.address)
    assert "Traceback" not in own.log


def test_a_second_instance_is_refused(program, tmp_path):
    config = tmp_path / "routes.toml"
    config.write_text(
        f'server = {{ listen = ["127.0.0.1:{program.port}"], workers = 2 }}\n'
        'publish = { pull = "", sub = [], command = "", http = "" }\n'
        "route = [{ targets = [{ demo = true }] }]\n"
    )
    command = [program.process.args[0], "run", "--config", config]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert f"can't listen on 127.0.0.1:{program.port}" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_handler_that_can_not_be_made_ends_the_start(program, tmp_path, workers):
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "broken.py").write_text("raise RuntimeError('broken on purpose')\n")
    config = tmp_path / "routes.toml"
    config.write_text(
        'server = { listen = ["127.0.0.1:0"] }\n'
        'publish = { pull = "", sub = [], command = "", http = "" }\n'
        'route = [{ handlers = ["broken"], targets = [{ demo = true }] }]\n'
    )
    command = [program.process.args[0], "run", "--config", config, "--workers", workers]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "broken on purpose" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "serving" not in ended.stdout


def test_a_worker_that_was_killed_is_replaced_and_no_client_is_refused(own, clients):
    streams = clients(own)
    open_streams(streams, "survive")
    killed, other = own.workers
    os.kill(killed, signal.SIGKILL)
    # Some of these wait in the queue of the one that is not there.
    late = clients(own)
    open_streams(late, "survive")
    wait_until(lambda: len(own.workers) == 2 and killed not in own.workers, "not replaced")
    assert other in own.workers
    own.publish_until_taken("survive", http_stream={"content": "still here"})
    assert {stream.read_chunk() for stream in late} == {b"still here"}
    survivors = 0
    for stream in streams:
        with contextlib.suppress(CutShort):
            assert stream.read_chunk() == b"still here"
            survivors += 1
    assert 0 < survivors < MANY
    assert own.publish("survive", http_stream={"content": ""}) == survivors + MANY
    assert "Traceback" not in own.log


@pytest.mark.slow
def test_a_worker_is_replaced_within_two_seconds_each_time(start_own, backend, clients):
    """On a busy machine not counting what a start takes there."""
    begun_at = time.monotonic()
    own = start_own(ROUTES.format(url=backend.url), server="workers = 2")
    own.wait_for_log("serving ")
    start_seconds = time.monotonic() - begun_at
    for _ in range(3):
        begun_at = time.monotonic()
        for pid in own.workers:
            os.kill(pid, signal.SIGKILL)
        streams = clients(own)
        open_streams(streams, "again")
        assert time.monotonic() - begun_at < 2 + start_seconds
        assert own.publish("again", http_stream={"content": "x"}) >= MANY
        for stream in streams:
            assert stream.read_chunk() == b"x"
            stream.close()
    assert own.process.poll() is None
    assert "Traceback" not in own.log


@pytest.mark.slow
def test_publishing_goes_on_while_workers_die(own, clients):
    """Whatever the moment of its death, a worker takes nothing else with it."""
    is_over = threading.Event()
    count = itertools.count()

    def numbers():
        while not is_over.is_set():
            yield next(count)

    publisher = threading.Thread(target=publish_numbers, args=(own, "storm", numbers()))
    publisher.start()
    try:
        for _ in range(4):
            streams = clients(own)
            open_streams(streams, "storm")
            os.kill(own.workers[0], signal.SIGKILL)
            wait_until(lambda: len(own.workers) == 2, "not replaced")
    finally:
        is_over.set()
        publisher.join(DEADLINE_SECONDS)
    assert not publisher.is_alive()
    assert own.process.poll() is None
    assert "Traceback" not in own.log
