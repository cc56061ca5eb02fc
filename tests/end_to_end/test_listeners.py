"""Where clients connect: IPv4, IPv6, unix sockets and TLS, and backends that want TLS."""

import socket
import ssl
import subprocess

import pytest
import trustme

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, Ending, RawClient, encode_request
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import TEXT, WebSocketClient

ROUTES = """
[[server.tls]]
listen = "127.0.0.1:{secure}"
certificate = "{folder}/default.pem"
key = "{folder}/default.key"
certificates = "{folder}/certificates"

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/tls/"
tls = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "untrusted"
targets = [{{ url = "{secure_url}" }}]

[[route]]
host = "insecure"
targets = [{{ url = "{secure_url}", insecure = true }}]

[[route]]
host = "plain.to.tls"
targets = [{{ url = "http://127.0.0.1:{secure_port}" }}]
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_backend(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedBackend(tls=context) as backend:
        yield backend


def write_certificate(certificate, chain, key):
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())


@pytest.fixture(scope="module")
def ports():
    with socket.create_server(("127.0.0.1", 0)) as a:
        return a.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("tls")
    names = folder / "certificates"
    names.mkdir()
    default = authority.issue_cert("default.test")
    write_certificate(default, folder / "default.pem", folder / "default.key")
    for name, stem in [("one.test", "one.test"), ("*.wild.test", "_.wild.test")]:
        certificate = authority.issue_cert(name)
        write_certificate(certificate, names / f"{stem}.crt", names / f"{stem}.key")
    return folder


@pytest.fixture(scope="module")
def secure(ports):
    return ("127.0.0.1", ports)


@pytest.fixture(scope="module")
def program(start, backend, secure_backend, folder, ports):
    rest = ROUTES.format(
        folder=folder,
        secure=ports,
        url=backend.url,
        secure_url=secure_backend.url,
        secure_port=secure_backend.port,
    )
    return start(rest, listen=f"[::1]:{free_v6_port()} unix:{folder}/proxy.sock?mode=600")


def free_v6_port():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# -- addresses -----------------------------------------------------------------------------------


def test_ipv6(connect, program, path):
    port = int(program.wait_for_log(r"\[::1\]:(\d+)")[1])
    client = connect(("::1", port))
    client.request("GET", path)
    assert client.read_reply().status == 200


def test_unix_socket(connect, folder, program, path):
    del program  # is there by now
    client = connect(f"{folder}/proxy.sock")
    client.request("GET", path)
    assert client.read_reply().status == 200
    assert (folder / "proxy.sock").stat().st_mode & 0o777 == 0o600


def test_address_that_is_taken(program, tmp_path):
    config = tmp_path / "routes.toml"
    config.write_text(
        f'server.listen = ["127.0.0.1:{program.port}"]\n'
        'publish = { pull = "", sub = [], command = "", http = "" }\n'
        "route = [{ targets = [{ demo = true }] }]\n"
    )
    command = [program.process.args[0], "run", "--config", config]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert f"can't listen on 127.0.0.1:{program.port}" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


# -- TLS of clients ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("one.test", "one.test"),
        ("ONE.test", "one.test"),
        ("a.wild.test", "*.wild.test"),
        ("other.test", "default.test"),
        ("a.b.wild.test", "default.test"),
    ],
)
def test_certificate_by_name(connect, secure, program, trusting, asked, shown, path):
    del program
    trusting.check_hostname = False
    client = connect(secure, tls=trusting, server_name=asked)
    (names,) = client.socket.getpeercert()["subjectAltName"]
    assert names == ("DNS", shown)
    client.request("GET", path)
    assert client.read_reply().status == 200


def test_certificate_fits_the_name(connect, secure, program, trusting):
    del program
    connect(secure, tls=trusting, server_name="a.wild.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(secure, tls=trusting, server_name="other.test")


def test_connection_over_tls_stays(connect, secure, program, trusting, backend, path):
    del program
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect(secure, tls=trusting, server_name="one.test")
    for size in (0, 10, 1_000_000):
        client.request("POST", path, body=b"x" * size)
        assert client.read_reply().body == b"x" * size


def test_route_for_tls_only(connect, secure, backend, trusting, program, path):
    del program
    target = f"/tls{path}"
    client = connect(secure, tls=trusting, server_name="one.test")
    client.request("GET", target)
    assert client.read_reply().status == 200
    assert len(backend.calls_to(target)) == 1


def test_end_of_a_tls_connection_says_goodbye(connect, secure, program, trusting, path):
    del program
    client = connect(secure, tls=trusting, server_name="one.test")
    client.request("GET", path, [("Connection", "close")])
    assert client.read_reply().status == 200
    assert client.wait_for_end() is Ending.CLOSED


def test_cut_response_over_tls_has_no_goodbye(connect, secure, program, trusting, backend, path):
    del program
    client = connect(secure, tls=trusting, server_name="one.test")

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        client.read_until(b"half")
        call.cut()

    backend.scripts[path] = script
    client.request("GET", path, version="1.0")
    backend.wait_for(path).wait_until_answered()
    assert client.wait_for_end() is Ending.RESET


def test_plain_http_on_a_tls_port(connect, secure, program):
    client = connect(secure)
    client.request("GET", "/")
    client.read_to_end()
    program.wait_for_log("TLS handshake failed")


def test_client_that_leaves_within_the_handshake(secure, program):
    with socket.create_connection(secure) as raw:
        raw.send(b"\x16\x03\x01")
    program.wait_for_log("closed during the TLS handshake")


def test_request_in_one_packet_with_the_end_of_the_handshake(secure, program, trusting, path):
    """The bytes that come with the last ones of the handshake are not forgotten."""
    del program
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting.wrap_bio(incoming, outgoing, server_hostname="one.test")
    with socket.create_connection(secure, timeout=DEADLINE_SECONDS) as raw:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65_536))
        tls.write(encode_request("GET", path))
        raw.sendall(outgoing.read())
        answer = b""
        while b"200 OK" not in answer:
            incoming.write(raw.recv(65_536))
            try:
                answer += tls.read(65_536)
            except ssl.SSLWantReadError:
                continue


def test_websocket_over_tls(secure, program, trusting, backend, path):
    del program
    events = ("Content-Type", "application/websocket-events")

    def script(call):
        if call.body == b"OPEN\r\n":
            call.respond(fields=[events], body=b"OPEN\r\n")
        else:
            call.respond(fields=[events], body=call.body)

    backend.scripts[path] = script
    with RawClient(secure, tls=trusting, server_name="one.test") as client:
        websocket = WebSocketClient(client)
        websocket.open(path)
        for size in (5, 100_000):
            websocket.send(TEXT, b"x" * size)
            assert websocket.read().content == b"x" * size


# -- TLS of backends -----------------------------------------------------------------------------


def test_insecure_backend(connect, secure_backend, path):
    secure_backend.scripts[path] = lambda call: call.respond(body=call.body * 2)
    client = connect()
    for _ in range(2):
        client.request("POST", path, body=b"x" * 100_000, host="insecure")
        assert client.read_reply().body == b"x" * 200_000
    first, second = secure_backend.calls_to(path)
    assert first.connection_number == second.connection_number


def test_cut_response_of_a_tls_backend(connect, secure_backend, path):
    """A TLS connection that ends without a goodbye has not ended a response."""
    client = connect()

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        client.read_until(b"half")
        call.cut()

    secure_backend.scripts[path] = script
    client.request("GET", path, host="insecure", version="1.0")
    secure_backend.wait_for(path).wait_until_answered()
    assert client.wait_for_end() is Ending.RESET


@pytest.mark.parametrize("host", ["untrusted", "plain.to.tls"])
def test_backend_that_does_not_fit(connect, secure_backend, backend, path, host):
    client = connect()
    client.request("GET", path, host=host)
    assert client.read_reply().status == 502
    assert not secure_backend.calls_to(path)
    assert not backend.calls_to(path)


@pytest.fixture
def trusting_program(start, secure_backend, authority, tmp_path, monkeypatch):
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return start(f'[[route]]\ntargets = [{{ url = "{secure_backend.url}" }}]\n')


def test_verified_backend(trusting_program, secure_backend, path):
    with RawClient(trusting_program.address) as client:
        client.request("GET", path)
        assert client.read_reply().status == 200
    assert len(secure_backend.calls_to(path)) == 1
