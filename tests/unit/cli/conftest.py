"""What the tests of `pubcli` share: the command itself, and a control server to talk to."""

import contextlib
import socket
import threading

import attrs
import pytest
from click.testing import CliRunner

from realtime_proxy.cli.main import main as main_group
from realtime_proxy.cli.pubcli import main
from realtime_proxy.testing.admin_server import AdminServer

PUBLISHED = (
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 10\r\n\r\nPublished\n"
)


@attrs.frozen
class Outcome:
    """What a call left behind: exit status and the two outputs."""

    status: int
    out: str
    err: str


class ControlServer:
    """Answers each connection with `reply` and keeps what was sent on it."""

    def __init__(self, host="127.0.0.1", context=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family)
        self.port = self.listener.getsockname()[1]
        self.context = context
        self.reply = PUBLISHED
        self.requests = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                self.requests.append(_read_request(connection))
                if self.reply is not None:
                    connection.sendall(self.reply)
                else:
                    connection.recv(1)  # until the client gives up
        except OSError:
            pass  # a client that broke off is what some tests are about


def _read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _receive(connection)
    return head + b"\r\n\r\n" + body


def _receive(connection):
    if not (data := connection.recv(65536)):
        raise ConnectionError("the client broke off")
    return data


@pytest.fixture
def control_server(monkeypatch):
    """A control server on 127.0.0.1, to which GRIP_URL points."""
    server = ControlServer()
    monkeypatch.setenv("GRIP_URL", f"http://127.0.0.1:{server.port}")
    yield server
    server.close()


@pytest.fixture
def start_control_server():
    """Starts further control servers, on another host or with TLS."""
    servers = []

    def start(*args):
        servers.append(ControlServer(*args))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def no_grip_url(monkeypatch):
    monkeypatch.delenv("GRIP_URL", raising=False)


@pytest.fixture
def pubcli(capsys):
    """Runs the command in this process."""

    def run(*argv):
        try:
            status = main(argv)
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def admin_server():
    """An admin port that the test plays."""
    with contextlib.closing(AdminServer()) as server:
        yield server


@pytest.fixture
def realtime_proxy(tmp_path, monkeypatch):
    """Runs a command of `realtime-proxy` where a routes.toml is."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, config=None):
        if config is not None:
            (tmp_path / "routes.toml").write_text(config)
        return CliRunner().invoke(main_group, arguments)

    return run
