"""Publishing over ZeroMQ, to a PULL socket of the test's own."""

import io
import json
import socket
import threading
import time
import types

import pytest
import tnetstring
import zmq

from realtime_proxy.cli import publish_zmq


class Receiver:
    """A bound PULL socket, which takes `most` messages before they are received."""

    def __init__(self, context, address, most):
        self.socket = context.socket(zmq.PULL)
        self.socket.rcvhwm = most
        self.socket.ipv6 = "[" in address
        self.socket.bind(address)
        self.endpoint = self.socket.last_endpoint.decode()
        self.port = self.endpoint.rpartition(":")[2]

    def receive(self):
        assert self.socket.poll(5000), "nothing came"
        (message,) = self.socket.recv_multipart()
        return message


@pytest.fixture
def listen():
    context = zmq.Context()
    receivers = []

    def start(address="tcp://127.0.0.1:*", most=1000):
        receivers.append(Receiver(context, address, most))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.socket.close(linger=0)
    context.term()


def test_bytes_of_an_item(pubcli, listen):
    receiver = listen()
    argv = ["--id", "5", "news", "hi", "-H", "A: b", "-M", "x=y", "--no-seq"]
    outcome = pubcli("--spec", receiver.endpoint, *argv)
    assert (outcome.status, outcome.out, outcome.err) == (0, "Published\n", "")
    message = receiver.receive()
    assert message[-1:] == b"}"  # a bare dictionary, nothing before or after it
    assert tnetstring.loads(message) == {
        b"channel": b"news",
        b"id": b"5",
        b"formats": {
            b"http-response": {b"code": 200, b"headers": [[b"A", b"b"]], b"body": b"hi\n"},
            b"http-stream": {b"content": b"hi\n"},
            b"ws-message": {b"content": b"hi"},
        },
        b"meta": {b"x": b"y"},
        b"no-seq": True,
    }


def test_bytes_that_are_no_text(pubcli, listen, tmp_path):
    receiver = listen()
    file = tmp_path / "data"
    file.write_bytes(b"bin\xff\x00x")
    pubcli("--spec", receiver.endpoint, "news", f"@{file}")
    formats = tnetstring.loads(receiver.receive())[b"formats"]
    assert formats[b"http-response"][b"body"] == b"bin\xff\x00x"
    assert formats[b"http-stream"] == formats[b"ws-message"] == {b"content": b"bin\xff\x00x"}


def test_a_message_for_each_item(pubcli, listen):
    receiver = listen()
    assert pubcli("--spec", receiver.endpoint, "a", "x", "--channel", "b").status == 0
    channels = [tnetstring.loads(receiver.receive())[b"channel"] for _ in range(2)]
    assert channels == [b"a", b"b"]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "tcp://[::1]:*"])
def test_localhost_on_both_families(pubcli, listen, address):
    receiver = listen(address)
    assert pubcli("--spec", f"tcp://localhost:{receiver.port}", "news", "hi").status == 0
    assert receiver.receive()


def test_ipv6_literal(pubcli, listen):
    receiver = listen("tcp://[::1]:*")
    assert pubcli("--spec", f"tcp://[::1]:{receiver.port}", "news", "hi").status == 0
    assert receiver.receive()


def test_unix_socket(pubcli, listen, tmp_path):
    receiver = listen(f"ipc://{tmp_path}/pull")
    assert pubcli("--spec", receiver.endpoint, "news", "hi").status == 0
    assert receiver.receive()


def test_credentials_mean_nothing_here(pubcli, listen):
    receiver = listen()
    assert pubcli("--spec", receiver.endpoint, "-u", "a:b", "news", "hi").status == 0
    assert receiver.receive()


def test_json_items_with_base64_payloads(pubcli, listen):
    receiver = listen()
    payloads = {
        "http-response": {"body-bin": "/w", "body": "other", "code": 200},
        "http-stream": {"content-bin": "/w=="},
        "ws-message": {"content-bin": "/w=="},
        "other": {"content-bin": "/w=="},
    }
    plain = {
        b"http-response": {b"body": b"\xff", b"code": 200},
        b"http-stream": {b"content": b"\xff"},
        b"ws-message": {b"content-bin": b"\xff"},
        b"other": {b"content-bin": b"/w=="},
    }
    nested = {"channel": "a", "formats": payloads, "size": 3}
    pubcli(
        "--spec", receiver.endpoint, "--json", json.dumps([nested, {"channel": "b", **payloads}])
    )
    assert tnetstring.loads(receiver.receive()) == {
        b"channel": b"a",
        b"formats": plain,
        b"size": 3,
    }
    assert tnetstring.loads(receiver.receive()) == {b"channel": b"b", **plain}


def test_json_items_that_the_server_would_not_take(pubcli, listen):
    item = {"channel": "a", "formats": {"http-stream": {}}}
    outcome = pubcli("--spec", listen().endpoint, "--json", json.dumps(item))
    assert outcome.status == 1
    assert outcome.err == ("Error: 'http-stream' does not contain 'content' or 'content-bin'\n")


def test_text_that_is_no_utf_8(pubcli, listen):
    assert "not valid UTF-8" in pubcli("--spec", listen().endpoint, "a\udcff", "x").err


def test_nobody_listens(pubcli, tmp_path):
    spec = f"ipc://{tmp_path}/nobody"
    outcome = pubcli("--spec", spec, "--timeout", "0.05", "news", "hi")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == f"Error: {spec}: nobody listens there (tried for 0.05 s)\n"


def test_unknown_host(pubcli, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = pubcli("--spec", "tcp://no.such.host:5560", "news", "hi")
    assert outcome.err == "Error: can't find no.such.host: Name or service not known\n"


def kernel_buffer_bytes():
    """What a unix socket takes when nobody reads at the other end."""
    ends = socket.socketpair()
    with ends[0], ends[1]:
        return ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


@pytest.fixture
def many(monkeypatch):
    """Items on standard input, each of which fills the kernel's buffer alone."""
    items = [{"channel": "c", "http-stream": {"content": "x" * kernel_buffer_bytes()}}] * 10
    data = json.dumps(items).encode()
    monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": io.BytesIO(data)}))
    return items


def test_receiver_that_takes_nothing(pubcli, listen, tmp_path, many):
    """It has its one message and another that it can't put there; most never leave."""
    receiver = listen(f"ipc://{tmp_path}/stuck", most=1)
    outcome = pubcli("--spec", receiver.endpoint, "--timeout", "1", "--json", "-")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.endswith("the receiver did not take it (tried for 1 s)\n")


def test_receiver_that_takes_its_time(pubcli, listen, tmp_path, many):
    """What does not fit into any buffer is waited for, and is not called lost."""
    receiver = listen(f"ipc://{tmp_path}/slow", most=1)
    received = []
    thread = threading.Thread(target=lambda: received.extend(receiver.receive() for _ in many))
    thread.start()
    outcome = pubcli("--spec", receiver.endpoint, "--json", "-")
    thread.join()
    assert (outcome.status, outcome.out) == (0, "Published\n")
    assert len(received) == len(many)


def test_receiver_that_takes_nothing_by_another_clock(pubcli, listen, tmp_path, many, monkeypatch):
    """libzmq ends the linger time by a clock of its own, which may be a little ahead."""
    begun_at = time.monotonic()
    slow = types.SimpleNamespace(monotonic=lambda: begun_at + (time.monotonic() - begun_at) * 0.98)
    monkeypatch.setattr(publish_zmq, "time", slow)
    receiver = listen(f"ipc://{tmp_path}/stuck", most=1)
    outcome = pubcli("--spec", receiver.endpoint, "--timeout", "0.2", "--json", "-")
    assert (outcome.status, outcome.out) == (1, "")
