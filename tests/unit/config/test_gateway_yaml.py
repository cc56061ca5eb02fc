"""The simple gateway's file: its routes, its secrets by name, and what is wrong with it."""

import pytest

from realtime_proxy.config.gateway_yaml import convert_gateway
from realtime_proxy.config.load import load_text
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.registry import load_handlers

FILE = """
gateway:
  listenAddr: :8080
  cors:
    allowedOrigins: ["https://app.test/", "https://b.test"]
    allowedMethods: [GET, PUT]
    allowedHeaders: "Content-Type, X-A"
    allowedCredentials: true
    maxAge: 300
  services:
    non-authenticated:
      - name: user-auth
        path: /user-auth
        target: http://auth.test:8001
    authenticated:
      - name: service-a
        route: /service-a/
        target: http://a.test:8002/v1/
      - name: service-b
        path: /service-b
        target: https://b.test
        allowedGroups: [staff]
"""


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """Converts a text; the result loads, with its handlers."""
    monkeypatch.setenv("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("REDIS_HOST", "redis.test")
    monkeypatch.setenv("REDIS_PORT", "6380")
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")

    def convert(text):
        (tmp_path / "gateway.conf.yaml").write_text(text)
        conversion = convert_gateway(tmp_path / "gateway.conf.yaml")
        assert "hunter2" not in conversion.text
        config = load_text(conversion.text)
        return config, load_handlers(config, tmp_path).handlers, conversion

    return convert


def test_routes(convert):
    config, handlers, _ = convert(FILE)
    assert config.server.listen == ("0.0.0.0:8080",)
    assert [(r.path, r.path_replace, r.targets[0].url, r.handlers) for r in config.route[:3]] == [
        ("/user-auth/", "/", "http://auth.test:8001", ()),
        ("/service-a/", "/v1/", "http://a.test:8002", ("gateway_0", "user_delete")),
        ("/service-b/", "/", "https://b.test", ("gateway_1",)),
    ]
    own = [(route.path, route.handlers) for route in config.route[3:]]
    assert own == [(path, ("gateway_0",)) for path in ("/isAuth", "/isAlive", "/isReady")]
    assert config.route[1].websocket_origins == ("https://app.test", "https://b.test")
    assert handlers["gateway_1"].config.allowed_groups == ("staff",)


def test_handlers(convert):
    _, handlers, conversion = convert(FILE)
    gate = handlers["gateway_0"].config
    assert (gate.profile, gate.redis.address) == ("classic", ("redis.test", 6380))
    assert gate.redis.password.value == b"hunter2"
    assert gate.secret.value == b"0123456789abcdef0123456789abcdef"
    assert gate.cors.allowed_origins == ("https://app.test", "https://b.test")
    assert gate.cors.allowed_headers == ("Content-Type", "X-A")
    assert (gate.cors.allow_credentials, gate.cors.max_age_seconds) == (True, 300)
    urls = ("http://a.test:8002/v1/user-delete", "https://b.test/user-delete")
    assert handlers["user_delete"].config.urls == urls
    assert {note.place for note in conversion.notes} == {
        "gateway.conf.yaml gateway.cors",
        "gateway.conf.yaml REDIS_PASSWORD",
    }
    assert all(str(note.message)[:40] in conversion.text for note in conversion.notes)


def test_all_origins(convert):
    config, handlers, conversion = convert(
        FILE.replace('["https://app.test/", "https://b.test"]', '["*"]')
    )
    assert handlers["gateway_0"].config.cors.allowed_origins == ("*",)
    assert config.route[1].websocket_origins == ()
    assert "allowedCredentials: left out" in "\n".join(map(str, conversion.notes))


def test_little(convert):
    config, handlers, conversion = convert("gateway: {services: {}}")
    assert (config.route, handlers, conversion.notes) == ((), {}, ())


def test_unknown_keys_are_noted(convert):
    text = FILE.replace("name: service-a", "name: service-a\n        weight: 5")
    notes = "\n".join(map(str, convert(text)[2].notes))
    assert "gateway.services.authenticated[0].weight: left out" in notes


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("gateway:", "other:", "gateway:"),
        (":8080", "nowhere", "gateway.listenAddr"),
        ("maxAge: 300", "maxAge: soon", "gateway.cors.maxAge"),
        ("[GET, PUT]", "[{a: b}]", "gateway.cors.allowedMethods"),
        ('https://b.test"', 'b.test"', "gateway.cors.allowedOrigins[1]"),
        ("route: /service-a/", "other: x", "gateway.services.authenticated[0].path"),
        ("route: /service-a/", "route: service-a", "gateway.services.authenticated[0].path"),
        ("target: https://b.test", "target: b.test", "gateway.services.authenticated[1].target"),
        ("target: https://b.test", "x: y", "gateway.services.authenticated[1].target"),
        ("services:\n", "services: []\n  x:\n", "gateway.services"),
        ("listenAddr: :8080", "[", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named(convert, old, new, where):
    assert old in FILE
    with pytest.raises(ConfigError) as caught:
        convert(FILE.replace(old, new, 1))
    assert where in str(caught.value)
    assert "gateway.conf.yaml" in str(caught.value)


def test_code_in_yaml_is_not_run(convert):
    with pytest.raises(ConfigError, match="is no YAML"):
        convert("gateway: !!python/object/apply:os.system ['true']")


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        convert_gateway(tmp_path / "gateway.conf.yaml")
