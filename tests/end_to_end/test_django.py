"""Django with django-grip as it is, behind the started program: examples/django.

A client of each kind is held; each way to publish that GRIP users have has to reach them all.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from gripcontrol import (
    GripPubControl,
    HttpResponseFormat,
    HttpStreamFormat,
    WebSocketMessageFormat,
)
from pubcontrol import Item, PubControl
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.reserved_ports import reserved_ports

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "django"
BIN = Path(sys.executable).parent
KEY = re.search(r'^key = "(.*?)"', (EXAMPLE / "routes.toml").read_text(), re.MULTILINE)[1]


class Stack:
    """The example's proxy and application, on ports of their own."""

    def __init__(self, folder, ports, workers):
        self.port, self.pull_port, self.control_port, self.django_port = ports
        self.log_file = folder / "log.txt"
        self.django_log_file = folder / "django.txt"
        self.config = folder / "routes.toml"
        self.config.write_text(self._config(workers))
        self.control_url = f"http://127.0.0.1:{self.control_port}"
        self.push_url = f"tcp://127.0.0.1:{self.pull_port}"
        self.grip_url = f"{self.control_url}?iss=realtime-proxy&key={KEY}"

    def _config(self, workers):
        """The example's, with other ports."""
        text = (EXAMPLE / "routes.toml").read_text()
        text = text.replace("[server]", f"[server]\nworkers = {workers}")
        for known, port in {
            7999: self.port,
            5560: self.pull_port,
            5561: self.control_port,
            8000: self.django_port,
        }.items():
            assert text.count(f":{known}") == 1
            text = text.replace(f":{known}", f":{port}")
        return text

    @contextlib.contextmanager
    def running(self):
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self.log_file.open("wb"))
            django_log = stack.enter_context(self.django_log_file.open("wb"))
            proxy = [BIN / "realtime-proxy", "run", "--config", self.config, "--verbose"]
            stack.enter_context(_running(proxy, self.port, log))
            application = [sys.executable, Path(__file__).with_name("django_site.py")]
            stack.enter_context(
                _running(
                    [*application, str(self.django_port)],
                    self.django_port,
                    django_log,
                    GRIP_URL=self.grip_url,
                    PUSH_URI=self.push_url,
                )
            )
            yield self

    @property
    def log(self):
        return self.log_file.read_text()

    @property
    def django_log(self):
        return self.django_log_file.read_text()

    def wait_for_subscriptions(self, channel, count):
        """Come back when the channel has had so many subscribers."""
        pattern = re.compile(rf"subscribe\s.*channel={channel}\s")
        _wait_until(lambda: len(pattern.findall(self.log)) >= count)

    def wait_for_requests(self, target, count):
        """Come back when the application has answered so many."""
        _wait_until(lambda: self.django_log.count(f'{target} HTTP/1.1" 200') >= count)

    def request(self, method, target, body=None, **fields):
        """Whole response of the proxy: status, body."""
        connection = self.ask(method, target, body, **fields)
        with contextlib.closing(connection):
            response = connection.getresponse()
            return response.status, response.read()

    def ask(self, method, target, body=None, **fields):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        connection.request(method, target, body, headers=fields)
        return connection

    def websocket(self, target):
        return connect(f"ws://127.0.0.1:{self.port}{target}", open_timeout=DEADLINE_SECONDS)


def _wait_until(condition):
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextlib.contextmanager
def _running(command, port, output, **env):
    process = subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | env
    )
    try:
        _wait_until_it_takes_connections(process, port)
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE_SECONDS)
        finally:
            process.kill()
            process.wait()


def _wait_until_it_takes_connections(process, port):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        assert process.poll() is None, process.args
        assert time.monotonic() < end, process.args
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.01)


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def stack(request, tmp_path_factory):
    with reserved_ports(4) as ports:
        stack = Stack(tmp_path_factory.mktemp("django"), ports, request.param)
        with stack.running():
            yield stack
    assert re.findall(r"^.*(?:Traceback|\[error|Warning:).*$", stack.log, re.MULTILINE) == []
    assert "Traceback" not in stack.django_log


@pytest.fixture
def room(request):
    """A channel of the test's own."""
    return re.sub(r"\W+", "-", request.node.name).strip("-")


# -- publishers ------------------------------------------------------------------------


def formats_of(message):
    return [
        HttpStreamFormat(f"data: {message}\n\n"),
        HttpResponseFormat(body=f"{message}\n"),
        WebSocketMessageFormat(message),
    ]


def item_of(room, message):
    formats = {entry.name(): entry.export() for entry in formats_of(message)}
    return {"channel": room, "formats": formats}


def django_over_http(stack, room, message):
    assert stack.request("POST", f"/{room}/say", message.encode()) == (200, b"said\n")


def django_over_zmq(stack, room, message):
    assert stack.request("POST", f"/{room}/say-over-zmq", message.encode()) == (200, b"said\n")


def gripcontrol_over_http(stack, room, message):
    config = {"control_uri": stack.control_url, "control_iss": "realtime-proxy", "key": KEY}
    publisher = GripPubControl(config)
    publisher.publish(room, Item(formats_of(message)), blocking=True)
    publisher.close()


def gripcontrol_in_the_background(stack, room, message):
    outcomes = []
    publisher = GripPubControl({"control_uri": stack.control_url})
    publisher.publish(
        room, Item(formats_of(message)), callback=lambda *outcome: outcomes.append(outcome)
    )
    publisher.close()
    [(accepted, _)] = outcomes
    assert accepted


def pubcontrol_over_http(stack, room, message):
    publisher = PubControl({"uri": stack.control_url})
    publisher.publish(room, Item(formats_of(message), id="1"), blocking=True)
    publisher.close()


def pubcontrol_over_zmq(stack, room, message):
    with zmq.Context() as context:
        publisher = PubControl({"zmq_push_uri": stack.push_url}, zmq_context=context)
        [client] = publisher.clients
        client._push_sock.linger = -1  # its own would drop what is not sent
        publisher.publish(room, Item(formats_of(message)), blocking=True)
        publisher.close()


def pubcli_over_http(stack, room, message):
    run_pubcli("--spec", stack.grip_url, "--sse", room, message)


def pubcli_over_zmq(stack, room, message):
    run_pubcli("--spec", stack.push_url, "--sse", room, message)


def pubcli_with_an_item(stack, room, message):
    run_pubcli("--spec", stack.control_url, "--json", json.dumps(item_of(room, message)))


def run_pubcli(*arguments):
    subprocess.run([BIN / "pubcli", *arguments], check=True, timeout=DEADLINE_SECONDS)


def json_over_http(stack, room, message):
    connection = http.client.HTTPConnection("127.0.0.1", stack.control_port)
    with contextlib.closing(connection):
        connection.request("POST", "/publish/", json.dumps({"items": [item_of(room, message)]}))
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"Published\n")


def json_over_zmq(stack, room, message):
    with zmq.Context() as context, context.socket(zmq.PUSH) as publisher:
        publisher.connect(stack.push_url)
        publisher.send(b"J" + json.dumps(item_of(room, message)).encode())


PUBLISHERS = [
    django_over_http,
    django_over_zmq,
    gripcontrol_over_http,
    gripcontrol_in_the_background,
    pubcontrol_over_http,
    pubcontrol_over_zmq,
    pubcli_over_http,
    pubcli_over_zmq,
    pubcli_with_an_item,
    json_over_http,
    json_over_zmq,
]


@pytest.mark.parametrize("publish", PUBLISHERS, ids=lambda publish: publish.__name__)
def test_what_is_published_reaches_every_kind_of_client(stack, room, publish):
    with (
        contextlib.closing(stack.ask("GET", f"/{room}/events")) as stream,
        contextlib.closing(stack.ask("GET", f"/{room}/poll")) as poll,
        stack.websocket(f"/{room}/chat") as websocket,
    ):
        events = stream.getresponse()
        assert (events.status, events.getheader("Content-Type")) == (200, "text/event-stream")
        assert [events.readline(), events.readline()] == [b": welcome\n", b"\n"]
        stack.wait_for_subscriptions(room, 3)
        publish(stack, room, "h\u00e9llo")
        assert events.readline().decode() == "data: h\u00e9llo\n"
        assert events.readline() == b"\n"
        answer = poll.getresponse()
        assert (answer.status, answer.read().decode()) == (200, "h\u00e9llo\n")
        assert websocket.recv(DEADLINE_SECONDS) == "h\u00e9llo"


def test_what_one_client_says_everybody_gets(stack, room):
    with (
        contextlib.closing(stack.ask("GET", f"/{room}/events")) as stream,
        stack.websocket(f"/{room}/chat") as one,
        stack.websocket(f"/{room}/chat") as other,
    ):
        events = stream.getresponse()
        stack.wait_for_subscriptions(room, 3)
        one.send("first")
        one.send("second")
        for client in (one, other):
            assert [client.recv(DEADLINE_SECONDS) for _ in range(2)] == ["first", "second"]
        lines = [events.readline() for _ in range(6)]
        assert lines[2::2] == [b"data: first\n", b"data: second\n"]


def test_many_messages_keep_their_order(stack, room):
    with stack.websocket(f"/{room}/chat") as websocket:
        stack.wait_for_subscriptions(room, 1)
        sent = [str(number) for number in range(50)]
        for message in sent:
            websocket.send(message)
        assert [websocket.recv(DEADLINE_SECONDS) for _ in sent] == sent


def test_binary_messages_and_pings_pass(stack, room):
    with stack.websocket(f"/{room}/chat") as websocket:
        websocket.send(bytes(range(256)))
        assert websocket.recv(DEADLINE_SECONDS) == bytes(range(256))
        assert websocket.ping(b"payload").wait(DEADLINE_SECONDS)


def test_the_application_closes(stack, room):
    with stack.websocket(f"/{room}/chat") as websocket:
        websocket.send("/quit")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(DEADLINE_SECONDS)
    assert closed.value.rcvd.code == 4000


def test_the_client_closes(stack, room):
    with stack.websocket(f"/{room}/chat") as websocket:
        websocket.close(4321)
    assert websocket.close_code == 4321


def test_the_client_closes_and_the_application_says_no_code(stack):
    with stack.websocket("/counting") as websocket:
        websocket.close()
    assert websocket.close_code == 1005


def test_the_application_is_told_that_a_client_was_lost(stack, room):
    with stack.websocket(f"/{room}/chat") as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)
        stack.wait_for_requests(f"POST /{room}/chat", 2)


def test_the_application_counts_in_the_meta_of_the_connection(stack):
    with stack.websocket("/counting") as websocket:
        for number in range(1, 4):
            websocket.send("hello")
            assert websocket.recv(DEADLINE_SECONDS) == f"{number} hello"


def test_a_detached_websocket_stays_open(stack):
    with stack.websocket("/counting") as websocket:
        websocket.send("detach")
        assert websocket.recv(DEADLINE_SECONDS) == "1 detach"
        websocket.send("not heard")
        websocket.close()
    assert websocket.close_code == 1000


def test_a_websocket_that_the_application_refuses(stack):
    with pytest.raises(InvalidStatus) as refused:
        stack.websocket("/no/such/path")
    assert refused.value.response.status_code == 404


def test_a_websocket_view_asked_without_a_websocket(stack, room):
    assert stack.request("GET", f"/{room}/chat") == (
        400,
        b"Request must contain WebSocket events.\n",
    )
    fields = {"Content-Type": "application/websocket-events"}
    assert stack.request("POST", f"/{room}/chat", b"OPEN\r\n", **fields)[0] == 403


def test_requests_are_signed_for_the_application(stack):
    assert stack.request("GET", "/signed") == (200, b"True True\n")
    fields = {"Grip-Sig": "made.by.nobody"}
    assert stack.request("GET", "/signed", **fields) == (200, b"True True\n")


def test_the_application_alone_holds_nothing(stack, room):
    connection = http.client.HTTPConnection("127.0.0.1", stack.django_port)
    with contextlib.closing(connection):
        connection.request("GET", f"/{room}/events")
        assert connection.getresponse().status == 501


def test_publishing_closes_a_stream_and_a_websocket(stack, room):
    with (
        contextlib.closing(stack.ask("GET", f"/{room}/events")) as stream,
        stack.websocket(f"/{room}/chat") as websocket,
    ):
        events = stream.getresponse()
        stack.wait_for_subscriptions(room, 2)
        run_pubcli("--spec", stack.push_url, "--close", room)
        assert events.read() == b": welcome\n\n"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(DEADLINE_SECONDS)
        assert closed.value.rcvd.code == 1000


def test_a_long_poll_on_two_channels(stack, room):
    with contextlib.closing(stack.ask("GET", f"/{room}/poll-two")) as poll:
        stack.wait_for_subscriptions(f"{room}-more", 1)
        django_over_http(stack, f"{room}-more", "news")
        response = poll.getresponse()
        assert (response.status, response.read()) == (200, b"news\n")


@pytest.mark.slow
def test_a_long_poll_that_nothing_answers(stack, room):
    assert stack.request("GET", f"/{room}/poll-two") == (304, b"")
