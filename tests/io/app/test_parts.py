import pytest
import trustme

from realtime_proxy.app.parts import load_parts
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.errors import ConfigError
from realtime_proxy.model.messages import text_response

TARGET = Target(url="http://127.0.0.1:1")


def demo(_head, _body):
    return text_response(200, "demo")


def test_everything_is_there(tmp_path):
    certificate = trustme.CA().issue_cert("a.test")
    (tmp_path / "a.pem").write_bytes(b"".join(b.bytes() for b in certificate.cert_chain_pems))
    (tmp_path / "a.key").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "names").mkdir()
    config = Config(
        server=Server(tls=(Tls("127.0.0.1:1", "a.pem", "a.key", "names"),)),
        grip=Grip(upstream_key="x" * 32),
        route=(Route(targets=(TARGET,)), Route(host="demo", targets=(Target(demo=True),))),
    )
    parts = load_parts(config, tmp_path, demo)
    assert parts.verifier is not None
    assert list(parts.tls) == ["127.0.0.1:1"]
    assert len(parts.handlers.chains) == 2


def test_without_keys_and_certificates(tmp_path):
    parts = load_parts(Config(route=(Route(targets=(TARGET,)),)), tmp_path, demo)
    assert parts.verifier is None
    assert parts.tls == {}


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    (tmp_path / "a.pem").touch()
    config = Config(
        server=Server(tls=(Tls("127.0.0.1:1", "a.pem", "a.pem"),)),
        grip=Grip(upstream_key="file:no-such-file"),
        route=(Route(targets=(TARGET,), handlers=("no_such_handler",)),),
    )
    with pytest.raises(ConfigError) as caught:
        load_parts(config, tmp_path, demo)
    text = str(caught.value)
    assert "unknown handler `no_such_handler`" in text
    assert "no-such-file" in text
    assert "a.pem" in text
    assert len(caught.value.problems) == 3


def test_a_key_of_a_route_that_can_not_be_had(tmp_path):
    route = Route(targets=(TARGET,), issuer="me", key="file:no-such-file")
    with pytest.raises(ConfigError, match="no-such-file"):
        load_parts(Config(route=(route,)), tmp_path, demo)
