"""Publishing over HTTP, against a control server on a real socket."""

import json
import socket
import ssl

import jwt
import pytest
import trustme

HEAD = b"POST /publish/ HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"

REFUSED = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 63\r\n\r\n"
    b"Invalid format: publish item object does not contain 'channel'\n"
)


def item_of(request):
    (item,) = json.loads(request.partition(b"\r\n\r\n")[2])["items"]
    return item


def field_of(request, name):
    head = request.partition(b"\r\n\r\n")[0].decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    return fields.get(name)


def test_bytes_of_a_request(pubcli, control_server):
    pubcli("--id", "5", "news", "hi")
    body = (
        b'{"items":[{"channel":"news","id":"5","formats":{'
        b'"http-response":{"code":200,"body":"hi\\n"},'
        b'"http-stream":{"content":"hi\\n"},"ws-message":{"content":"hi"}}}]}'
    )
    head = HEAD % control_server.port
    assert control_server.requests == [head + b"Content-Length: 157\r\n\r\n" + body]


def test_text_is_utf_8(pubcli, control_server):
    pubcli("ü", "é\x01")
    body = control_server.requests[0].partition(b"\r\n\r\n")[2]
    assert '"channel":"ü"'.encode() in body
    assert '"content":"é\\u0001"'.encode() in body


def test_bytes_that_are_no_text_are_base64(pubcli, control_server, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"bin\xff\x00x")
    pubcli("news", f"@{file}")
    assert item_of(control_server.requests[0])["formats"] == {
        "http-response": {"code": 200, "body-bin": "Ymlu/wB4"},
        "http-stream": {"content-bin": "Ymlu/wB4"},
        "ws-message": {"content-bin": "Ymlu/wB4"},
    }


def test_all_items_go_in_one_request(pubcli, control_server):
    pubcli("a", "x", "--channel", "b")
    (request,) = control_server.requests
    items = json.loads(request.partition(b"\r\n\r\n")[2])["items"]
    assert [item["channel"] for item in items] == ["a", "b"]


def test_json_items(pubcli, control_server):
    item = {"channel": "c", "ws-message": {"content-bin": "/w=="}, "meta": {"a": "b"}}
    pubcli("--json", json.dumps(item))
    assert item_of(control_server.requests[0]) == item


@pytest.mark.parametrize("text", ["a\udcff", '{"channel": "\\ud800"}'])
def test_text_that_is_no_utf_8(pubcli, control_server, text):
    argv = ["--json", text] if text.startswith("{") else [text, "x"]
    outcome = pubcli(*argv)
    assert outcome.status == 1
    assert "not valid UTF-8" in outcome.err
    assert control_server.requests == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (REFUSED, "Invalid format: publish item object does not contain 'channel'"),
        (b"HTTP/1.0 404 Not Found\r\nContent-Length: 10\r\n\r\nNot Found\n", "Not Found"),
        (b"HTTP/1.0 405 No\r\n\r\n  until the end \r\n ", "until the end"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the server answered with status 503"),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes", "yes"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "the server answered with status 204"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "with status 302"),
        (b"HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n", "bad"),
        (b"HTTP/1.1 400 \r\n\r\n\xff", "�"),
        (b"", "no answer from 127.0.0.1:"),
        (b"SSH-2.0\r\n", "it does not speak HTTP"),
    ],
)
def test_refusals(pubcli, control_server, reply, message):
    control_server.reply = reply
    outcome = pubcli("news", "hi")
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert message in outcome.err


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_any_200_is_success(pubcli, control_server, reply):
    control_server.reply = reply
    assert pubcli("news", "hi").status == 0


def test_server_that_never_answers(pubcli, control_server):
    control_server.reply = None
    outcome = pubcli("--timeout", "0.05", "news", "hi")
    assert outcome.status == 1
    assert outcome.err == f"Error: no answer from 127.0.0.1:{control_server.port}: timed out\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_localhost_on_both_families(pubcli, start_control_server, host):
    server = start_control_server(host)
    outcome = pubcli("--spec", f"http://localhost:{server.port}", "news", "hi")
    assert outcome.status == 0
    assert field_of(server.requests[0], "Host") == f"localhost:{server.port}"


def test_ipv6_literal(pubcli, start_control_server):
    server = start_control_server("::1")
    assert pubcli("--spec", f"http://[::1]:{server.port}", "news", "hi").status == 0
    assert field_of(server.requests[0], "Host") == f"[::1]:{server.port}"


def test_grip_url_with_a_path_and_a_key(pubcli, control_server, monkeypatch):
    key = "k" * 32
    url = f"http://127.0.0.1:{control_server.port}/base/?iss=me&key={key}"
    monkeypatch.setenv("GRIP_URL", url)
    assert pubcli("news", "hi").status == 0
    (request,) = control_server.requests
    assert request.startswith(b"POST /base/publish/ HTTP/1.0\r\n")
    scheme, token = field_of(request, "Authorization").split()
    assert scheme == "Bearer"
    assert jwt.decode(token, key, algorithms=["HS256"])["iss"] == "me"


@pytest.mark.parametrize("option", [["-u", "a:b"], ["-B", "token"]])
def test_given_credentials_are_for_https_only(pubcli, control_server, option):
    assert pubcli(*option, "news", "hi").err == "Error: Authentication requires https\n"
    assert control_server.requests == []


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls_server(authority, start_control_server, monkeypatch, tmp_path):
    """A control server with TLS, whose certificate the system's trust store vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return start_control_server("127.0.0.1", context)


@pytest.mark.parametrize(
    ("option", "authorization"),
    [
        ([], None),
        (["-u", "user:päss"], "Basic dXNlcjpww6Rzcw=="),
        (["-B", "token"], "Bearer token"),
    ],
)
def test_credentials_over_https(pubcli, tls_server, option, authorization):
    outcome = pubcli("--spec", f"https://localhost:{tls_server.port}", *option, "news", "hi")
    assert outcome.status == 0, outcome.err
    assert field_of(tls_server.requests[0], "Authorization") == authorization


def test_given_credentials_win_over_the_url(pubcli, tls_server):
    spec = f"https://localhost:{tls_server.port}?iss=me&key=other"
    assert pubcli("--spec", spec, "-B", "token", "news", "hi").status == 0
    assert field_of(tls_server.requests[0], "Authorization") == "Bearer token"


def test_certificate_of_another_host(pubcli, tls_server):
    outcome = pubcli("--spec", f"https://127.0.0.1:{tls_server.port}", "news", "hi")
    assert outcome.status == 1
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.err
    assert tls_server.requests == []


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "ü"])
def test_bearer_token_that_no_header_can_hold(pubcli, token):
    outcome = pubcli("--spec", "https://127.0.0.1:1", "-B", token, "news", "hi")
    assert outcome.err == "Error: the bearer token has characters that no header can hold\n"


def test_nobody_listens(pubcli):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        outcome = pubcli("--spec", f"http://localhost:{port}", "news", "hi")
    assert outcome.err == f"Error: can't connect to localhost:{port}: Connection refused\n"
