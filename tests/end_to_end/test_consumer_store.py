"""Consumers that come and go while the program runs, over the admin port, in all workers."""

import contextlib
import json
from urllib.parse import urlencode

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.tokens import hs_token

ROUTES = """
[admin]
listen = "127.0.0.1:{admin}"

[consumers]
store = "consumers.db"

[handler.key_auth]
stored = true

[handler.jwt_auth]
stored = true

[handler.staff]
use = "acl"
allow = ["staff"]

[[route]]
handlers = ["key_auth"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "tokens.test"
handlers = ["jwt_auth"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "staff.test"
handlers = ["key_auth", "staff"]
targets = [{{ url = "{url}", over_http = true }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
CLIENTS = 8  # so that each of two workers has some, nearly always


class Operator:
    def __init__(self, port):
        self._port = port

    def call(self, method, path, **fields):
        body = urlencode(fields).encode() if fields else b""
        with RawClient(("127.0.0.1", self._port)) as client:
            client.request(method, path, FORM, body)
            reply = client.read_reply(to=method)
        return reply.status, json.loads(reply.body) if reply.body else None


@pytest.fixture(scope="module", params=[1, 2])
def program(request, start, backend):
    with reserved_ports(1) as [admin]:
        routes = ROUTES.format(url=backend.url, admin=admin)
        program = start(routes, server=f"workers = {request.param}")
    program.operator = Operator(admin)
    return program


@pytest.fixture
def alice(program):
    """A consumer of this test's own."""
    assert program.operator.call("POST", "/consumers/", username="alice")[0] == 201
    yield "/consumers/alice"
    program.operator.call("DELETE", "/consumers/alice")


def statuses(connect, path, fields, host="test"):
    found = set()
    for _ in range(CLIENTS):
        client = connect()
        client.request("GET", path, fields, host=host)
        found.add(client.read_reply().status)
    return found


def eventually(check, wanted):
    """The workers hear of it at once, but not within the call."""
    while (found := check()) != wanted:
        assert found <= {200, 401, 403}, found


def test_a_key_counts_at_once_and_its_end_closes_what_it_opened(
    connect, backend, program, path, alice
):
    key = [("apikey", "supersecret")]
    assert statuses(connect, path, key) == {401}
    call = program.operator.call
    _, made = call("POST", f"{alice}/keyauth", key="supersecret")
    eventually(lambda: statuses(connect, path, key), {200})
    assert backend.calls_to(path)[-1].get("x-consumer-username") == "alice"
    assert backend.calls_to(path)[-1].get("x-credential-identifier") == made["id"]

    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    held = [connect() for _ in range(CLIENTS)]
    for client in held:
        client.request("GET", path, key)
        assert client.read_head().status == 200
    assert call("DELETE", f"{alice}/key-auth/{made['id']}") == (204, None)
    for client in held:
        assert client.read_until(b"event: revoked\ndata: credential revoked\n\n")
    eventually(lambda: statuses(connect, path, key), {401})


def test_tokens_and_groups(connect, program, path, alice):
    call = program.operator.call
    assert call("POST", f"{alice}/jwt", key="iss-1", secret="s")[0] == 201
    token = hs_token({"iss": "iss-1"}, b"s").decode()
    bearer = [("Authorization", f"Bearer {token}")]
    eventually(lambda: statuses(connect, path, bearer, "tokens.test"), {200})
    assert call("PATCH", f"{alice}/jwt/iss-1", secret="t")[0] == 200
    eventually(lambda: statuses(connect, path, bearer, "tokens.test"), {401})

    key = [("apikey", "of-staff")]
    call("POST", f"{alice}/key-auth", key="of-staff")
    eventually(lambda: statuses(connect, path, key, "staff.test"), {403})
    call("POST", f"{alice}/acls", group="staff")
    eventually(lambda: statuses(connect, path, key, "staff.test"), {200})


def test_a_key_may_have_an_end(connect, backend, program, path, alice):
    program.operator.call("POST", f"{alice}/key-auth", key="short", ttl=2)
    key = [("apikey", "short")]
    eventually(lambda: statuses(connect, path, key), {200})
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    client = connect()
    client.request("GET", path, key)
    assert client.read_reply().body == b"event: expired\ndata: credential expired\n\n"
    assert statuses(connect, path, key) == {401}


def test_pages_of_other_origins_change_nothing(program):
    with RawClient(("127.0.0.1", program.operator._port)) as client:
        client.request("POST", "/consumers", [*FORM, ("Origin", "http://evil")], b"username=eve")
        assert client.read_reply(to="POST").status == 403
    assert program.operator.call("GET", "/consumers/eve")[0] == 404


def test_they_are_there_after_a_start_and_in_no_log(start_own, backend, connect, path):
    with reserved_ports(1) as [admin]:
        program = start_own(ROUTES.format(url=backend.url, admin=admin))
    operator = Operator(admin)
    operator.call("POST", "/consumers", username="alice")
    operator.call("POST", "/consumers/alice/key-auth", key="supersecret")
    operator.call("POST", "/consumers/alice/key-auth", key="taken away")
    assert operator.call("DELETE", "/consumers/alice/key-auth/taken%20away")[0] == 204
    program.wait_for_log(r"path=/consumers/alice/key-auth/\*\*\*")
    assert operator.call("GET", "/key-auths/supersecret/consumer")[1]["username"] == "alice"
    program.wait_for_log(r"path=/key-auths/\*\*\*/\*\*\*")
    assert "taken" not in program.log
    program.stop()
    program._start()
    program._wait_until_it_takes_connections()
    client = connect(program.address)
    client.request("GET", path, [("apikey", "supersecret")])
    assert client.read_reply().status == 200
    assert "supersecret" not in program.log
    assert (program.file.parent / "consumers.db").stat().st_mode & 0o777 == 0o600
    program.stop()


@pytest.fixture
def opened():
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("workers", [1, 2])
def test_the_process_that_takes_over_and_the_one_that_drains_know_the_same(
    start_own, backend, opened, path, tmp_path, workers
):
    with reserved_ports(1) as [admin]:
        rest = ROUTES.format(url=backend.url, admin=admin)
        server = f'workers = {workers}\ntakeover_socket = "{tmp_path}/takeover"'
        old = start_own(rest, server=server, drain_seconds=60)

    def connect():
        return opened.enter_context(RawClient(old.address))

    call = Operator(admin).call
    call("POST", "/consumers", username="alice")
    call("POST", "/consumers/alice/key-auth", key="supersecret")
    key = [("apikey", "supersecret")]
    eventually(lambda: statuses(connect, path, key), {200})
    backend.scripts[f"{path}/held"] = lambda call: call.respond(fields=STREAM)
    held = connect()
    held.request("GET", f"{path}/held", key)
    assert held.read_head().status == 200

    old.succeed(rest, server=server)
    old.wait_for_log("taken over")
    assert statuses(connect, path, key) == {200}
    assert call("DELETE", "/consumers/alice/key-auth/supersecret") == (204, None)
    # By the old process, which is not told.
    assert held.read_until(b"event: revoked\ndata: credential revoked\n\n")
    eventually(lambda: statuses(connect, path, key), {401})
    assert old.process.wait(DEADLINE_SECONDS) == 0
    assert call("GET", "/consumers/alice")[0] == 200
