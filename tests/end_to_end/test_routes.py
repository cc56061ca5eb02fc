"""What routes and `[forwarded]` do to requests, through the real program."""

import socket
import ssl
import threading
import time

import jwt
import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import TEXT

UPSTREAM = "an upstream key that is long enough for anyone"
KEY = "the key of all routes, long enough for anyone"
OWN_KEY = "the key of one route, long enough for anyone"
CONFIG = """
[grip]
issuer = "everyone"
key = "{key}"
upstream_key = "{upstream}"

[forwarded]
accept_pushpin_route = true
accept_x_forwarded_proto = true
x_forwarded_for = ["append"]
x_forwarded_for_trusted = ["truncate:1", "append"]
cdn_loop = "here"

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "tls.only"
tls = true
targets = [{{ url = "{url}" }}]

[[route]]
id = "hidden"
host = ""
path = "/hidden/"
debug = true
targets = [{{ url = "{url}", host = "hidden.out" }}]

[[route]]
id = "shared"
host = "one"
targets = [{{ url = "{url}", host = "one.out" }}]

[[route]]
id = "shared"
host = "two"
targets = [{{ url = "{url}", host = "two.out" }}]

[[route]]
host = "rewritten"
path = "/old/"
path_replace = "/new/"
as_host = "as.example:99"
set_headers = {{ X-Set = "route" }}
remove_headers = ["X-Gone", "X-Forwarded-For"]
targets = [
    {{ url = "http://127.0.0.1:1", host = "never.example" }},
    {{ url = "{url}", over_http = true }},
]

[[route]]
host = "marked"
original_headers = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "own.key"
key = "{own_key}"
targets = [{{ url = "{url}" }}]

[[route]]
host = "own.issuer"
issuer = "me"
targets = [{{ url = "{url}" }}]

[[route]]
host = "private"
debug = true
targets = [{{ url = "{url}", untrusted = true }}, {{ url = "{url}" }}]

[[route]]
host = "quiet"
log_level = "error"
targets = [{{ url = "http://127.0.0.1:1" }}]

[[route]]
host = "v6"
targets = [{{ url = "http://[::1]:{v6_port}", host = "[2001:db8::1]:8080" }}]

[[route]]
host = "client.certificate"
targets = [
    {{ url = "{tls_url}", insecure = true, client_certificate = "{folder}/client.pem" }},
]

[[route]]
host = "no.certificate"
targets = [{{ url = "{tls_url}", insecure = true }}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("routes")


@pytest.fixture(scope="module")
def tls_backend(folder):
    """A backend that wants a certificate of its clients."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("client.example")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    with ScriptedBackend(tls=context) as backend:
        yield backend


@pytest.fixture(scope="module")
def v6_port(backend):
    """A port of IPv6, whose connections are answered at once."""
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    heads = []

    def answer():
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with raw:
                heads.append(raw.recv(65_536))
                raw.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nv6")

    thread = threading.Thread(target=answer)
    thread.start()
    yield listener.getsockname()[1], heads
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture(scope="module")
def program(start, backend, tls_backend, v6_port, folder):
    return start(
        CONFIG.format(
            url=backend.url,
            tls_url=tls_backend.url,
            v6_port=v6_port[0],
            folder=folder,
            key=KEY,
            own_key=OWN_KEY,
            upstream=UPSTREAM,
        )
    )


@pytest.fixture
def ask(connect):
    def ask(path, fields=(), *, host="any", **options):
        client = connect()
        client.request(options.pop("method", "GET"), path, fields, host=host, **options)
        return client.read_reply()

    return ask


@pytest.fixture
def seen(ask, backend, path):
    """The call that a request becomes."""

    def seen(fields=(), *, host="any", at="", **options):
        assert ask(at + path, fields, host=host, **options).status == 200
        return backend.wait_for(path)

    return seen


def signature():
    claims = {"iss": "front", "exp": int(time.time()) + 600}
    return "Grip-Sig", jwt.encode(claims, UPSTREAM, algorithm="HS256")


# -- rewriting -----------------------------------------------------------------------------------


def test_everything_that_a_route_changes(ask, backend, path):
    fields = [("X-Set", "client"), ("X-Gone", "g"), ("X-Kept", "k")]
    body = b"b" * 50_000
    reply = ask(f"/old{path}?q=/old/", fields, host="rewritten", method="POST", body=body)
    assert reply.status == 200
    call = backend.wait_for(f"/new{path}")
    assert call.target == f"/new{path}?q=/old/"
    assert call.get_all("host") == ["as.example:99"]
    assert call.get_all("x-set") == ["route"]
    assert call.get("x-gone") is call.get("x-forwarded-for") is None
    assert call.get("x-kept") == "k"
    assert call.body == body  # the first target was not there


def echo(call):
    """Accept a WebSocket, and send back what comes."""
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=call.body)


def test_websocket_events_are_changed_alike(websocket, backend, path):
    backend.scripts[f"/new{path}"] = echo
    client = websocket()
    client.open(f"/old{path}", host="rewritten")
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    for call in backend.calls_to(f"/new{path}"):
        assert call.get("host") == "as.example:99"
        assert call.get_all("x-set") == ["route"]


def test_a_backend_over_ipv6(ask, v6_port, path):
    assert ask(path, host="v6").body == b"v6"
    assert b"\r\nHost: [2001:db8::1]:8080\r\n" in b"\r\n" + v6_port[1][-1]


@pytest.mark.parametrize(
    ("host", "issuer", "key"), [("own.key", "everyone", OWN_KEY), ("own.issuer", "me", KEY)]
)
def test_issuer_and_key_of_a_route_count_each_alone(seen, host, issuer, key):
    token = seen(host=host).get("grip-sig")
    assert jwt.decode(token, key, algorithms=["HS256"])["iss"] == issuer


# -- who says what of the client -----------------------------------------------------------------


def test_forwarded_addresses_grow_once_for_a_websocket(websocket, backend, path):
    backend.scripts[path] = echo
    client = websocket()
    client.open(path, [("X-Forwarded-For", "9.9.9.9")])
    for text in (b"1", b"2"):
        client.send(TEXT, text)
        assert client.read().content == text
    values = {call.get("x-forwarded-for") for call in backend.calls_to(path)}
    assert values == {"9.9.9.9, 127.0.0.1"}


def test_forged_fields_reach_nobody(seen):
    forged = [
        ("Grip-Sig", "x.y.z"),
        ("Grip-Last", "a; last-id=1"),
        ("eb9bf0f5-X", "1"),
        ("Connection", "X-Forwarded-For, CDN-Loop"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("CDN-Loop", "there"),
    ]
    call = seen(forged)
    assert len(call.get_all("grip-sig")) == 1
    assert call.get("grip-sig") != "x.y.z"
    assert call.get("grip-last") is call.get("eb9bf0f5-x") is None
    assert call.get_all("x-forwarded-for") == ["6.6.6.6, 127.0.0.1"]
    assert call.get_all("cdn-loop") == ["there, here"]


def test_a_signed_request_has_the_rule_of_the_trusted(seen):
    call = seen([signature(), ("X-Forwarded-For", "6.6.6.6, 1.1.1.1")])
    assert call.get("x-forwarded-for") == "1.1.1.1, 127.0.0.1"


def test_tls_in_front_counts(seen):
    call = seen([("X-Forwarded-Proto", "https")], host="tls.only")
    assert call.get_all("x-forwarded-proto") == ["https"]


def test_tls_in_front_counts_when_a_poll_is_asked_again(connect, program, backend, path):
    gone = f"<https://tls.only{path}/gone>; rel=gone"
    hold = [("Grip-Hold", "response"), ("Grip-Channel", path), ("Grip-Link", gone)]
    backend.scripts[path] = lambda call: call.respond(fields=hold)
    client = connect()
    client.request("GET", path, [("X-Forwarded-Proto", "https")], host="tls.only")
    program.publish_until_taken(path, http_response={"action": "hint"})
    backend.wait_for(path, 2)
    program.wait_for_log(rf"uri=https://tls\.only{path} .*retry=True")
    client.close()
    assert backend.wait_for(f"{path}/gone").get("host") == "tls.only"
    assert f"http://tls.only{path}" not in program.log


def test_without_tls_in_front_there_is_no_route(ask, path):
    reply = ask(path, host="tls.only")
    assert (reply.status, reply.body) == (502, b"No route for host: tls.only\n")


def test_original_headers(seen):
    call = seen([("Accept-Encoding", "gzip"), ("eb9bf0f5-Host", "forged")], host="marked")
    assert call.get_all("eb9bf0f5-host") == ["marked"]
    assert call.get("eb9bf0f5-accept-encoding") == "gzip"
    assert call.get("accept-encoding") is None


def test_a_session_is_nobodys(ask, backend, path):
    fields = [("Grip-Session-Id", "s"), ("Grip-Session-Detect", "path-prefix=/"), ("X", "1")]
    backend.scripts[path] = lambda call: call.respond(fields=fields)
    reply = ask(path, [("Grip-Session-Id", "forged")])
    assert reply.get("x") == "1"
    assert reply.get("grip-session-id") is reply.get("grip-session-detect") is None
    assert backend.wait_for(path).get("grip-session-id") is None


# -- requests of the proxy's own -----------------------------------------------------------------


def checked_stream(channel, url):
    """A stream whose items have to pass a check of the backend."""
    return [
        ("Grip-Hold", "stream"),
        ("Grip-Channel", f"{channel}; filter=http-check"),
        ("Grip-Set-Meta", f'url="{url}"'),
    ]


def test_urls_of_a_backend_are_written_as_it_sees_them(connect, program, backend, path):
    grip = checked_stream(path, f"/new{path}/check")
    backend.scripts[f"/new{path}"] = lambda call: call.respond(fields=grip)
    backend.scripts[f"/new{path}/check"] = lambda call: call.respond()
    client = connect()
    client.request("GET", f"/old{path}", host="rewritten")
    client.read_head()
    program.publish_until_taken(path, http_stream={"content": "item"})
    assert client.read_chunk() == b"item"
    call = backend.wait_for(f"/new{path}/check")
    assert (call.get("host"), call.get("x-set")) == ("as.example:99", "route")


def test_who_chooses_a_route_does_not_choose_whom_we_connect_to(connect, program, backend, path):
    """The Host of a request that is there by its id is the client's word alone."""
    with ScriptedBackend() as elsewhere:
        grip = checked_stream(path, "/off-the-route")
        backend.scripts[f"/hidden{path}"] = lambda call: call.respond(fields=grip)
        client = connect()
        chosen = f"127.0.0.1:{elsewhere.port}"
        client.request("GET", f"/hidden{path}", [("Pushpin-Route", "hidden")], host=chosen)
        client.read_head()
        program.publish_until_taken(path, http_stream={"content": "item"})
        assert client.read_chunk().startswith(b"\n\nfilter error: network request failed")
        assert not elsewhere.calls


# -- routes by their ids -------------------------------------------------------------------------


def test_a_route_that_only_its_id_leads_to(ask, backend, path):
    assert ask(f"/hidden{path}", [("Pushpin-Route", "hidden")], host="one").status == 200
    call = backend.wait_for(f"/hidden{path}")
    assert call.get("host") == "hidden.out"
    assert call.get("pushpin-route") is None


@pytest.mark.parametrize(("name", "at"), [("nobody", "/hidden/"), ("hidden", "/other/")])
def test_an_id_that_leads_nowhere(ask, name, at):
    assert ask(at, [("Pushpin-Route", name)], host="one").status == 502


def test_a_shared_id_chooses_nothing(seen):
    assert seen([("Pushpin-Route", "shared")], host="two").get("host") == "two.out"


def test_a_long_poll_of_a_shared_id_is_asked_again(connect, program, backend, path):
    hold = [("Grip-Hold", "response"), ("Grip-Channel", path)]

    def script(call):
        is_first = len(backend.calls_to(path)) == 1
        call.respond(fields=hold if is_first else [], body=b"again")

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path, host="one")
    program.publish_until_taken(path, http_response={"action": "hint"})
    assert client.read_reply().body == b"again"
    assert backend.calls_to(path)[1].get("host") == "one.out"


# -- backends ------------------------------------------------------------------------------------


def test_an_untrusted_backend_may_not_be_private(ask, backend, path):
    reply = ask(path, host="private")
    assert (reply.status, reply.body) == (502, b"Error: Origin host/IP blocked.\n")
    assert not backend.calls_to(path)


def test_a_certificate_for_a_backend(ask, tls_backend, path):
    assert ask(path, host="client.certificate").status == 200
    assert ask(path, host="no.certificate").status == 502
    assert len(tls_backend.calls_to(path)) == 1


def test_a_route_with_a_log_level_of_its_own(ask, program, path):
    assert ask(f"{path}/unheard", host="quiet").status == 502
    assert ask(f"{path}/heard", host="tls.only").status == 502
    program.wait_for_log(f"{path}/heard")
    assert f"{path}/unheard" not in program.log
