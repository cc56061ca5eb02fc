import contextlib
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from realtime_proxy.cli.admin_client import AdminClient, AdminError, client_of
from realtime_proxy.config.addresses import TcpAddress, UnixAddress, parse_address
from realtime_proxy.errors import ConfigError
from realtime_proxy.testing.admin_server import ONE, AdminServer

SECRET = "a secret of more than thirty-two bytes"


@pytest.fixture
def client(admin_server):
    return AdminClient(parse_address(admin_server.address))


@pytest.fixture
def configured(tmp_path):
    """The client of a configuration."""

    def make(text, **options):
        file = tmp_path / "routes.toml"
        file.write_text(text)
        return client_of(file, *(options.get(name) for name in ("admin", "number", "bearer")))

    return make


def test_all_pages_are_taken(admin_server, client):
    admin_server.connections = [ONE | {"id": str(number)} for number in range(2_500)]
    found, has_more = client.connections({"route": "a b"})
    assert [one["id"] for one in found] == [str(number) for number in range(2_500)]
    assert not has_more
    assert admin_server.requests[1][1] == "/connections?route=a+b&limit=1000&after=1000"


@pytest.mark.parametrize(("limit", "has_more"), [(1_200, True), (2_500, False), (3_000, False)])
def test_no_more_are_taken_than_asked_for(admin_server, client, limit, has_more):
    admin_server.connections = [ONE] * 2_500
    found, more = client.connections({}, limit)
    assert (len(found), more) == (min(limit, 2_500), has_more)


def test_connections_are_ended(admin_server, client):
    assert client.close(None, {"consumer": "alice"}) == 1
    assert client.close("worker_1:7/x", {}) == 1
    assert [request[:2] for request in admin_server.requests] == [
        ("DELETE", "/connections?consumer=alice"),
        ("DELETE", "/connections/worker_1%3A7/x"),
    ]


def test_a_unix_socket(tmp_path):
    with contextlib.closing(AdminServer(tmp_path / "admin")) as server:
        client = AdminClient(parse_address(f"{server.address}?mode=600"), "sesame")
        assert client.connections({}) == ([ONE], False)
        assert server.requests[0][2] == "Bearer sesame"


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        ((400, b'{"error": "no such kind"}'), "no such kind"),
        ((401, b"The key of [admin] is needed.\n"), "status 401: The key of [admin] is needed."),
        ((500, b"[]"), "status 500"),
    ],
)
def test_a_refusal_is_passed_on(admin_server, client, refusal, text):
    admin_server.refusal = refusal
    with pytest.raises(AdminError) as caught:
        client.connections({})
    assert text in str(caught.value)


def test_nobody_is_there(tmp_path):
    for address in (TcpAddress("127.0.0.1", 1), UnixAddress(str(tmp_path / "none"))):
        with pytest.raises(AdminError, match="no answer from the admin port at"):
            AdminClient(address).connections({})


def test_the_port_is_that_of_the_configuration(configured):
    assert configured('[admin]\nlisten = "127.0.0.1:5564"') == AdminClient(
        TcpAddress("127.0.0.1", 5564)
    )
    moved = configured('[admin]\nlisten = "127.0.0.1:5564"', number=2)
    assert moved.address == TcpAddress("127.0.0.1", 5584)
    assert configured("", admin="unix:/run/admin", bearer="t") == AdminClient(
        UnixAddress("/run/admin"), "t"
    )


def test_it_shows_that_it_has_the_key(configured):
    client = configured(f'[admin]\nlisten = "0.0.0.0:5564"\nkey = "{SECRET}"')
    assert jwt.decode(client.token, SECRET, ["HS256"])["iss"] == "realtime-proxy"
    text = f'[admin]\nlisten = "0.0.0.0:5564"\nkey = "{SECRET}"'
    assert configured(text, bearer="mine").token == "mine"


def test_a_public_key_signs_nothing(configured, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    text = '[admin]\nlisten = "0.0.0.0:5564"\nkey = "file:key.pem"'
    with pytest.raises(AdminError, match="--bearer"):
        configured(text)
    assert configured(text, bearer="signed").token == "signed"


def test_there_may_be_no_port(configured):
    with pytest.raises(AdminError, match="no admin port to ask") as caught:
        configured("")
    assert 'listen = "127.0.0.1:5564"' in str(caught.value)
    with pytest.raises(AdminError, match="--admin ADDRESS"):
        configured('[admin]\nlisten = "127.0.0.1:0"')
    with pytest.raises(AdminError, match="--admin: "):
        configured("", admin="nowhere")


def test_a_configuration_that_does_not_load():
    with pytest.raises(ConfigError):
        client_of(Path("/no/such/file.toml"), None, None, None)
