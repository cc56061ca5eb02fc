"""A new process takes the place of a running one: neither clients nor publishers are refused."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest
import zmq

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, Ending, RawClient

# By workers of the old process, and of the new one.
WORKERS = [(1, 1), (1, 2), (2, 1), (2, 3)]
NUMBER = re.compile(rb"<(\d+)>")
ROUTES = """
[[route]]
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(autouse=True)
def _holds(backend):
    def answer(call):
        fields = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("X-Path", call.target)]
        call.respond(fields=fields, body=b"begin")

    backend.answer = answer


@pytest.fixture
def deploy(start_own, backend, tmp_path):
    """Start a program, or with `old` one that takes its place."""

    def start(workers=1, old=None, seconds=0.3):
        server = f'workers = {workers}\ntakeover_socket = "{tmp_path}/takeover"'
        rest, pull = ROUTES.format(url=backend.url), f"ipc://{tmp_path}/pull"
        if old is None:
            program = start_own(rest, server=server, drain_seconds=seconds, pull=pull)
            program.wait_for_log("serving ")  # its socket is there later than its listeners
            return program
        return old.succeed(rest, server=server)

    return start


@pytest.fixture
def stream():
    with contextlib.ExitStack() as stack:

        def open_stream(program):
            client = stack.enter_context(RawClient(program.address))
            client.request("GET", "/stream")
            assert client.read_head().status == 200
            assert client.read_chunk() == b"begin"
            return client

        yield open_stream


@pytest.fixture
def publisher(tmp_path):
    """Publishes numbers over ZeroMQ until it is stopped, and then tells how many."""

    class Publisher(threading.Thread):
        def __init__(self):
            super().__init__()
            self.count = 0
            self.is_stopping = threading.Event()
            self.start()

        def run(self):
            with zmq.Context() as context, context.socket(zmq.PUSH) as push:
                push.connect(f"ipc://{tmp_path}/pull")
                while not self.is_stopping.wait(0.001):
                    content = {"content": f"<{self.count}>"}
                    item = {"channel": "a", "formats": {"http-stream": content}}
                    push.send(b"J" + json.dumps(item).encode())
                    self.count += 1

        def stop(self):
            self.is_stopping.set()
            self.join()
            return self.count

    made = []

    def start():
        made.append(Publisher())
        return made[-1]

    yield start
    for one in made:
        one.stop()


def numbers(data):
    return [int(number) for number in NUMBER.findall(data)]


def ends(program):
    assert program.process.wait(DEADLINE_SECONDS) == 0
    program.check_log()


@pytest.mark.parametrize(("old_workers", "new_workers"), WORKERS)
def test_nothing_is_lost_and_nobody_refused(deploy, stream, publisher, old_workers, new_workers):
    old = deploy(old_workers)
    before = [stream(old) for _ in range(4)]
    sender = publisher()
    while not before[0].buffer:
        before[0]._receive()
    knocking, refused = threading.Event(), []

    def knock():
        while not knocking.wait(0.002):
            try:
                with RawClient(old.address) as client:
                    client.request("GET", "/stream")
                    assert client.read_head().status == 200
            except Exception as error:  # noqa: BLE001  each is one too many
                refused.append(error)

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        new = deploy(new_workers, old)
        received = []
        for client in before:
            data = b""
            while part := client.read_chunk():
                data += part
            received.append(numbers(data))
            client.close()
        ends(old)
    finally:
        knocking.set()
        thread.join()
    assert refused == []
    for got in received:
        assert got == list(range(got[0], got[0] + len(got)))
    late = stream(new)
    data = late.read_chunk()
    total = sender.stop()
    while numbers(data)[-1] < total - 1:
        data += late.read_chunk()
    got = numbers(data)
    assert got == list(range(got[0], total))


def test_control_connections_go_to_the_new_process(deploy, stream):
    old = deploy(seconds=5)
    client = stream(old)
    item = {"channel": "a", "formats": {"http-stream": {"content": "x"}}}
    body = json.dumps({"items": [item]}).encode()
    with RawClient(("127.0.0.1", old.control_port)) as publisher:
        publisher.request("POST", "/publish/", body=body)
        assert publisher.read_reply().get("connection") == "keep-alive"
        assert client.read_chunk() == b"x"
        new = deploy(old=old)
        old.wait_for_log("taken over")
        # It is answered once more, and what it publishes reaches the clients of both.
        late = stream(new)
        publisher.request("POST", "/publish/", body=body)
        assert publisher.read_reply().get("connection") == "close"
        assert late.read_chunk() == client.read_chunk() == b"x"
        assert publisher.wait_for_end() is Ending.CLOSED
    assert new.publish("a", http_stream={"content": "y"}) == 2
    assert late.read_chunk() == client.read_chunk() == b"y"
    assert client.read_chunk() == b""
    client.close()
    ends(old)


@pytest.mark.parametrize("workers", [1, 2])
def test_if_the_new_process_fails_the_old_one_goes_on(deploy, stream, workers, tmp_path):
    """It asks for everything, and ends when it is about to serve."""
    old = deploy(workers)
    client = stream(old)
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(f"{tmp_path}/takeover")
            other.sendall(b'{"type":"Hello","protocol":1}\n')
            data, descriptors, _, _ = socket.recv_fds(other, 4096, 20)
            assert json.loads(data) == {"type": "Sockets", "is_last": True}
            assert len(descriptors) == workers + 5  # takeover, control, pull, sub, command
            other.sendall(b'{"type":"Join","link":"ipc://%b/link"}\n' % bytes(tmp_path))
            assert json.loads(other.recv(4096)) == {"type": "Joined"}
            for descriptor in descriptors:
                os.close(descriptor)
        assert old.wait_for_log("not taken over")
        # What is published in the moment of its failure is lost with it.
        old.publish_until_taken("a", http_stream={"content": "x"})
        assert client.read_chunk() == b"x"
    deploy(workers, old)
    assert client.read_chunk() == b""


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b'{"type":"Hello","protocol":99}\n', b"version 1 of the takeover"),
        (b"GET / HTTP/1.1\n", b""),
    ],
)
def test_one_who_speaks_otherwise_gets_nothing(deploy, tmp_path, said, answer):
    old = deploy()
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(DEADLINE_SECONDS)
        other.connect(f"{tmp_path}/takeover")
        other.sendall(said)
        data, descriptors, _, _ = socket.recv_fds(other, 4096, 20)
        assert answer in data
        assert descriptors == []
    old.wait_for_log("not taken over")
    assert deploy(old=old)


def test_the_socket_is_for_its_user_only(deploy, tmp_path):
    deploy()
    assert (tmp_path / "takeover").stat().st_mode & 0o777 == 0o600


def test_a_wrong_configuration_takes_nothing_over(deploy, stream, tmp_path):
    old = deploy()
    client = stream(old)
    config = tmp_path / "routes.toml"
    text = old.file.read_text().replace("[[route]]", "[[route]]\nhandlers = ['no_such']")
    config.write_text(text)
    command = [old.process.args[0], "run", "--config", config]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "no_such" in ended.stderr
    old.wait_for_log("not taken over")
    old.publish_until_taken("a", http_stream={"content": "x"})
    assert client.read_chunk() == b"x"


def test_three_in_a_row(deploy, stream):
    """The third waits until the first is gone."""
    first = deploy(seconds=1)
    client = stream(first)
    second = deploy(old=first)
    other = stream(second)
    third = deploy(old=second)
    for one in (client, other):
        assert one.read_chunk() == b""
        one.close()
    ends(first)
    ends(second)
    assert stream(third)
