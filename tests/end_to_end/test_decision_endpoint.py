"""Other gateways ask: who may, what they are told, and that it is never more than an answer."""

import time

import pytest

from realtime_proxy.testing.raw_client import RawClient
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import WebSocketClient

PROBE = """
from realtime_proxy.pipeline import CONTINUE, Answer, BaseHandler, Headers, Response


class Handler(BaseHandler):
    keeps_record = True

    async def on_request(self, exchange):
        self.context.logger.info(
            "asked about", scheme=exchange.scheme, client=exchange.client_address
        )
        if exchange.request.path == b"/answer":
            return Answer(Response(204, Headers()))
        if exchange.request.path == b"/switch":
            return Answer(Response(101, Headers()))
        if exchange.request.path == b"/elsewhere":
            return Answer(Response(302, Headers([(b"Location", b"/login")])))
        if exchange.request.path == b"/raise":
            raise RuntimeError
        return CONTINUE

    def on_close(self, exchange, reason):
        self.context.logger.info("told of the end", record=exchange.record is not None)
"""
STAMP = """
from realtime_proxy.pipeline import BaseHandler


class Handler(BaseHandler):
    sets_headers = frozenset(("x-stamp",))

    def on_backend_request(self, exchange, request):
        request.headers.append((b"X-Stamp", exchange.identity.consumer.encode()))
"""
CONFIG = """
[forwarded]
trusted_proxies = [{trusted}]

[handler.key]
use = "key_auth"
hide_credentials = true
[[handler.key.consumers]]
username = "alice"
keys = ["secret-key"]

[handler.token]
use = "jwt_auth"
[[handler.token.consumers]]
username = "ado"
[[handler.token.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[[route]]
host = "decisions.test"
path = "/decisions"
targets = [{{ decisions = true }}]

[[route]]
host = "site.test"
path = "/decisions"
targets = [{{ decisions = true }}]

[[route]]
host = "site.test"
path = "/key/"
handlers = ["key"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "site.test"
path = "/token/"
handlers = ["token"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "site.test"
path = "/stamped/"
handlers = ["token", "stamp"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "site.test"
path = "/open/"
targets = [{{ url = "{url}" }}]

[[route]]
host = "site.test"
path = "/ws/"
protocol = "websocket"
websocket_origins = ["https://site.test"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "probed.test"
handlers = ["probe"]
targets = [{{ url = "{url}" }}]
"""
FRONT = """
[handler.ask]
use = "forward_auth"
url = "http://127.0.0.1:{port}/decisions"
copy_headers = ["X-Credential-Identifier"]
consumer_header = "X-Consumer-Username"
lifetime_header = "Credential-Expires-In"

[[route]]
handlers = ["ask"]
targets = [{{ url = "{url}", over_http = true }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
SERVER = "cross_origin = true"  # which must change nothing of this


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sockets")


@pytest.fixture(scope="module")
def program(start, backend, folder):
    program = start(
        CONFIG.format(url=backend.url, trusted='"unix"'),
        handlers=[("probe", PROBE), ("stamp", STAMP)],
        server=SERVER,
        listen=f"unix:{folder}/proxy.sock",
    )
    program.wait_for_log("serving ")
    return program


@pytest.fixture
def gateway(connect, folder, program):
    """Connects as a gateway that is known does."""
    del program
    return lambda: connect(f"{folder}/proxy.sock")


def describing(uri, *fields, method="GET", host="site.test", proto="http"):
    told = {"Method": method, "Uri": uri, "Host": host, "Proto": proto}
    return [*((f"X-Forwarded-{name}", value) for name, value in told.items()), *fields]


def ask(connect, fields, target="/decisions", method="GET", host="decisions.test"):
    client = connect()
    client.request(method, target, fields, host=host)
    return client.read_reply(to=method)


# -- answers -------------------------------------------------------------------------------

KEY = ("apikey", "secret-key")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
def test_a_yes_has_what_handlers_have_set(gateway, backend, method):
    fields = describing("/key/a", KEY, ("X-Consumer-Username", "root"), ("Cookie", "a=b"))
    reply = ask(gateway, fields, method=method)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.get_all("x-consumer-username") == ["alice"]
    assert reply.get("x-credential-identifier") == "alice/1"
    assert reply.get("cache-control") == "no-store"
    assert reply.get("cookie") is None
    assert backend.calls == []


def test_keys_in_the_query_count(gateway):
    assert ask(gateway, describing("/key/a?apikey=secret-key")).status == 200
    assert ask(gateway, describing("/key/a?apikey=other")).status == 401


def test_a_refusal_is_the_handlers_own(gateway, backend):
    reply = ask(gateway, describing("/key/a"))
    assert reply.status == 401
    assert reply.get("www-authenticate") == "Key"
    assert b"No API key found in request" in reply.body
    assert backend.calls == []


def test_of_who_is_known_backends_are_told_the_same(gateway):
    token = hs_token({"iss": "adokey"}).decode()
    fields = describing("/stamped/", ("Authorization", f"Bearer {token}"))
    for _ in range(3):
        reply = ask(gateway, fields)
        assert reply.status == 200
        assert [reply.get(name) for name in ("x-consumer-username", "x-stamp")] == ["ado"] * 2


def test_no_handlers_no_questions(gateway):
    assert ask(gateway, describing("/open/a")).status == 200


def test_how_long_a_yes_counts(gateway):
    token = hs_token({"iss": "adokey", "exp": time.time() + 60}).decode()
    reply = ask(gateway, describing("/token/a", ("Authorization", f"Bearer {token}")))
    assert reply.status == 200
    assert 0 < float(reply.get("credential-expires-in")) <= 60


@pytest.mark.parametrize(
    "fields",
    [
        describing("/nowhere"),
        describing("/key/a", host="other.test"),
        describing("/decisions", host="decisions.test"),
        describing("/ws/a"),  # it is for WebSockets
    ],
)
def test_no_route(gateway, fields):
    assert ask(gateway, [*fields, KEY]).status == 404


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/decisions/key/a", [KEY], 200),
        ("/decisions/key/a", [], 401),
        ("/decisions/key/a?apikey=secret-key", [], 200),
        ("/decisions/decisions/key/a", [KEY], 404),
        ("/decisions", [KEY], 404),
    ],
)
def test_the_question_itself_may_be_the_request(gateway, target, fields, status):
    assert ask(gateway, fields, target, host="site.test").status == status


def test_a_description_is_whole_or_none(gateway):
    reply = ask(gateway, describing("/key/a", KEY)[1:])
    assert (reply.status, reply.body.partition(b" ")[0]) == (400, b"X-Forwarded-Method")


# -- who may ask ---------------------------------------------------------------------------


def test_only_known_proxies_may_ask(connect, program):
    del program
    reply = ask(connect, describing("/open/a"))
    assert (reply.status, reply.get("x-consumer-username")) == (403, None)


# -- WebSockets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"), [("https://site.test", 200), ("https://evil.test", 403)]
)
def test_an_upgrade_is_decided_and_not_done(gateway, backend, origin, status):
    client = WebSocketClient(gateway())
    fields = describing("/ws/a", ("Origin", origin))
    client.ask("/decisions", fields, host="decisions.test")
    reply = client.client.read_reply()
    assert reply.status == status
    assert reply.get("sec-websocket-accept") is None
    assert reply.get("upgrade") is None
    assert backend.calls == []


def test_traefik_says_by_the_scheme_what_a_websocket_is(gateway):
    assert ask(gateway, describing("/ws/a", proto="ws")).status == 200


# -- what must not be taken for a yes ------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "status"), [("/answer", 403), ("/switch", 403), ("/elsewhere", 302), ("/a", 200)]
)
def test_answers_of_handlers(gateway, program, uri, status):
    before = len(program.log)
    fields = describing(uri, ("X-Forwarded-For", "192.0.2.9"), host="probed.test", proto="https")
    assert ask(gateway, fields).status == status
    program.wait_for_log(r"asked about .*scheme=https client=192\.0\.2\.9", after=before)
    program.wait_for_log("told of the end .*record=True", after=before)


@pytest.mark.parametrize("target", ["/decisions?callback=cb", "/decisions/?callback=cb&_body=x"])
def test_a_refusal_is_never_in_a_script(gateway, target):
    assert ask(gateway, describing("/key/a"), target).status == 401


# -- a chain of two of these proxies -------------------------------------------------------


def test_a_proxy_in_front_asks_one_behind(start, backend, path):
    config = CONFIG.format(url=backend.url, trusted='"127.0.0.1"')
    config = config.replace("decisions.test", "127.0.0.1")  # as the one in front calls it
    behind = start(config, handlers=[("probe", PROBE), ("stamp", STAMP)])
    front = start(FRONT.format(port=behind.port, url=backend.url))
    target = f"/token{path}"
    backend.scripts[target] = lambda call: call.respond(fields=STREAM)
    token = hs_token({"iss": "adokey", "exp": time.time() + 2}).decode()
    with RawClient(front.address) as client:
        fields = [("Authorization", f"Bearer {token}")]
        client.request("GET", target, fields, host="site.test")
        assert client.read_head().status == 200
        assert client.read_until(b"event: expired\n")
    [call] = backend.calls_to(target)
    assert call.get("x-consumer-username") == "ado"
    assert call.get("x-credential-identifier") == "adokey"
    with RawClient(front.address) as client:
        client.request("GET", target, host="site.test")
        assert client.read_reply().status == 401
