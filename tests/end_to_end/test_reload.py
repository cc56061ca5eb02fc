"""A changed configuration in the running program: nobody loses a connection over it."""

import contextlib
import os
import re
import signal
import socket
import ssl
import time

import jwt
import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.websocket_client import TEXT, WebSocketClient

ROUTE = """
[[route]]
host = "{host}"
{more}
targets = [{{ url = "{url}", over_http = true }}]
"""


@pytest.fixture
def routes(backend):
    """A configuration with routes for these hosts, each with what else is to be in it."""

    def write(*hosts, **more):
        names = (*hosts, *more)
        return "".join(
            ROUTE.format(host=host, url=backend.url, more=more.get(host, "")) for host in names
        )

    return write


@pytest.fixture
def program(start_own, routes):
    return start_own(routes("a", "b"))


@pytest.fixture
def hold(backend, path):
    """Have the backend hold the test's path."""

    def order(kind, *fields, body=b""):
        grip = [("Grip-Hold", kind), ("Grip-Channel", path), *fields]
        backend.scripts[path] = lambda call: call.respond(fields=grip, body=body)

    return order


def status(program, host, path="/"):
    with RawClient(program.address) as client:
        client.request("GET", path, host=host)
        return client.read_reply().status


def wait_until(is_so, what):
    end = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


# -- what changes, and what stays ----------------------------------------------------------


def test_hanging_up_exchanges_the_routes_and_nobody_is_cut(program, routes, connect, hold, path):
    hold("stream", body=b"open")
    stream, idle, poll = connect(), connect(), connect()
    stream.request("GET", path, host="a")
    stream.read_head()
    assert stream.read_chunk() == b"open"
    idle.request("GET", "/", host="a")
    assert idle.read_reply().status == 200
    hold("response")
    poll.request("GET", path, host="b")
    program.reload(routes("b", "c"))
    assert [status(program, host) for host in "abc"] == [502, 200, 200]
    idle.request("GET", "/", host="a")
    assert idle.read_reply().status == 502
    program.wait_for_subscriptions(path, 2)
    program.publish(path, http_stream={"content": "item"}, http_response={"body": "answer"})
    assert stream.read_chunk() == b"item"
    assert poll.read_reply().body == b"answer"


def test_a_websocket_goes_on_with_the_route_it_has(program, routes, connect, backend, path):
    events = {"OPEN": ["OPEN"], "TEXT": [("TEXT", b"echo")]}

    def answer(call):
        [kind, *_] = (event[0] for event in read_events(call.body))
        fields = [("Content-Type", CONTENT_TYPE)]
        call.respond(fields=fields, body=write_events(*events.get(kind, [])))

    backend.scripts[path] = answer
    client = WebSocketClient(connect())
    client.open(path, host="a")
    program.reload(routes("b"))
    client.send(TEXT, b"hello")
    assert client.read().content == b"echo"


def test_a_changed_file_is_seen(program, routes):
    program.configure(routes("a", "c"))
    wait_until(lambda: status(program, "c") == 200, "the change is not seen")
    assert status(program, "b") == 502
    assert program.log.count("routes loaded with 2 entries") == 2


def test_a_file_that_makes_no_sense_changes_nothing(program, routes):
    program.reload(routes("a", "c").replace("over_http", "over_httpp") + "[grip]\nkeyy = 1")
    program.wait_for_log(f"the old one stays.*{program.file}: .*over_httpp")
    program.wait_for_log(r"grip\.keyy: unknown key; did you mean `key`\?")
    assert [status(program, host) for host in "abc"] == [200, 200, 502]
    program.file.unlink()
    program.hang_up()
    program.wait_for_log("can't be read")
    program.reload(routes("c"))
    assert [status(program, host) for host in "abc"] == [502, 502, 200]


def test_handlers_that_can_not_be_had_change_nothing(program, routes):
    program.reload(routes(a='handlers = ["no_such"]', c=""))
    program.wait_for_log("unknown handler `no_such`")
    assert [status(program, host) for host in "ac"] == [200, 502]


def test_what_needs_a_restart_is_named_and_the_rest_is_done(program, routes):
    program.wait_for_log("serving ")
    program.port, port = 1, program.port
    program.configure(routes("c"), server="workers = 3\nmax_header_bytes = 200")
    program.port = port
    program.hang_up()
    assert re.search(r"restart to apply changes.*server.listen.*server.workers", program.log)
    assert status(program, "c") == 200
    assert status(program, "c", "/" + "x" * 300) == 431


# -- each part that can change -------------------------------------------------------------


def test_limits_change(program, routes, connect):
    client = connect()
    client.request("POST", "/", body=b"four", host="a")
    assert client.read_reply().status == 200
    program.reload(routes("a"), server="max_body_bytes = 3")
    client.request("POST", "/", body=b"four", host="a")
    assert client.read_reply().status == 413


def test_log_levels_change(program, hold, path):
    hold("stream")

    def logged():
        before = len(program.log)
        with RawClient(program.address) as client:
            client.request("GET", path, host="a")
            client.read_head()
        program.publish(path, http_stream={"content": "x"})
        return program.log[before:]

    assert "subscribe" in logged()
    program.file.write_text(program.file.read_text().replace('"debug"', '"warning"'))
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not logged(), "the level does not change")
    program.file.write_text(program.file.read_text().replace('"warning"', '"debug"'))
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "subscribe" in logged(), "the level does not change again")


def test_keys_change_with_their_files(program, routes, backend, path):
    key = program.file.with_name("grip.key")
    key.write_text("the first key, long enough for everybody")
    program.reload(routes("a") + f'[grip]\nkey = "file:{key}"\n')
    assert verified(program, backend, path, key.read_text())
    key.write_text("the second key, long enough for everybody")
    wait_until(lambda: verified(program, backend, path, key.read_text()), "the key is not seen")


def verified(program, backend, path, key):
    status(program, "a", path)
    token = backend.calls_to(path)[-1].get("grip-sig")
    try:
        jwt.decode(token, key, algorithms=["HS256"])
    except jwt.InvalidSignatureError:
        return False
    return True


HANDLER = """
import trio
from realtime_proxy.pipeline import BaseHandler, CONTINUE

class Handler(BaseHandler):
    async def on_request(self, exchange):
        exchange.request.headers.append((b"X-Version", b"{version}"))
        return CONTINUE

    async def run(self):
        self.context.logger.info("begins", version="{version}")
        try:
            await trio.sleep_forever()
        finally:
            self.context.logger.info("ends", version="{version}")
"""


def test_handlers_change_with_their_files(program, routes, backend, path):
    folder = program.file.with_name("handlers")
    folder.mkdir()
    (folder / "stamp.py").write_text(HANDLER.format(version="one"))
    program.reload(routes(a='handlers = ["stamp"]'))
    status(program, "a", path)
    assert backend.calls_to(path)[-1].get("x-version") == "one"
    program.wait_for_log("begins .*one")
    (folder / "stamp.py").write_text(HANDLER.format(version="two"))
    program.wait_for_log("begins .*two")
    said = re.findall(r"(begins|ends) .*(one|two)", program.log)
    change = said.index(("begins", "two"))  # a file may be looked at again, and begin once more
    assert said[change - 2 : change] == [("begins", "one"), ("ends", "one")]
    assert ("begins", "one") not in said[change:]
    status(program, "a", path)
    assert backend.calls_to(path)[-1].get("x-version") == "two"


def test_certificates_change(start_own, routes, tmp_path):
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)

    def issue(name):
        certificate = authority.issue_cert(name)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (tmp_path / "site.pem").write_bytes(chain)
        (tmp_path / "site.key").write_bytes(certificate.private_key_pem.bytes())

    issue("one.test")
    files = f'certificate = "{tmp_path}/site.pem"\nkey = "{tmp_path}/site.key"'
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    start_own(f'[[server.tls]]\nlisten = "127.0.0.1:{address[1]}"\n{files}\n' + routes("a"))

    def is_shown(name):
        with contextlib.suppress(ssl.SSLCertVerificationError):
            RawClient(address, tls=trusting, server_name=name).close()
            return True
        return False

    with RawClient(address, tls=trusting, server_name="one.test") as client:
        assert not is_shown("two.test")
        issue("two.test")
        wait_until(lambda: is_shown("two.test"), "the certificate is not seen")
        client.request("GET", "/", host="a")
        assert client.read_reply().status == 200


def test_a_log_file_that_was_moved_away_is_begun_anew(program, routes, tmp_path):
    log = tmp_path / "log.txt"
    settings = f'[log]\nlevel = "info"\nfile = "{log}"\n'
    text = program.file.read_text().replace('[log]\nlevel = "debug"\n', settings)
    program.file.write_text(text)
    program.wait_for_log("serving ")
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "routes loaded" in log.read_text(), "it is not used")
    log.rename(tmp_path / "log.1")
    program.file.write_text("nonsense")
    program.process.send_signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "not usable" in log.read_text(), "it is not begun anew")


# -- long-polls that ask again -------------------------------------------------------------


@pytest.mark.parametrize("named", ["", 'id = "polls"'])
def test_a_long_poll_asks_again_where_its_route_leads_now(
    start_own, routes, connect, hold, backend, path, named
):
    program = start_own(routes(a=named))
    hold("response")
    client = connect(program.address)
    client.request("GET", path, host="a")
    program.publish_until_taken(
        path, http_stream={"content": "nobody takes this"}
    ) if False else None
    wait_until(lambda: backend.calls_to(path), "it was not asked")
    program.reload(routes(a=f'{named}\nissuer = "now"\nkey = "{"k" * 32}"'))
    backend.scripts[path] = lambda call: call.respond(body=b"again")
    program.publish_until_taken(path, http_response={"action": "hint"})
    assert client.read_reply().body == b"again"
    assert backend.calls_to(path)[-1].get("grip-sig") is not None


def test_a_long_poll_whose_route_is_gone_fails(program, routes, connect, hold, backend, path):
    hold("response")
    client = connect()
    client.request("GET", path, host="a")
    wait_until(lambda: backend.calls_to(path), "it was not asked")
    program.reload(routes("b"))
    program.publish_until_taken(path, http_response={"action": "hint"})
    reply = client.read_reply()
    assert (reply.status, reply.body) == (502, b"Error while proxying to origin.\n")
    assert len(backend.calls_to(path)) == 1


# -- several workers -----------------------------------------------------------------------


def test_all_workers_change(start_own, routes, hold, path):
    program = start_own(routes("a", "b"), server="workers = 2")
    program.wait_for_log("serving ")
    hold("stream", body=b"open")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(RawClient(program.address)) for _ in range(20)]
        for stream in streams:
            stream.request("GET", path, host="a")
            stream.read_head()
            assert stream.read_chunk() == b"open"
        program.reload(routes("b", "c"), server="workers = 2")
        wait_until(
            lambda: all(status(program, "c") == 200 for _ in range(20)), "not all have changed"
        )
        assert {status(program, "a") for _ in range(20)} == {502}
        assert program.publish(path, http_stream={"content": "item"}) == 20
        assert {stream.read_chunk() for stream in streams} == {b"item"}
    os.kill(program.workers[0], signal.SIGKILL)
    wait_until(lambda: program.log.count("worker serves") == 3, "it is not replaced")
    assert {status(program, "c") for _ in range(20)} == {200}
    program.reload(routes("d").replace("over_http", "over"), server="workers = 2")
    assert {status(program, "c") for _ in range(20)} == {200}
