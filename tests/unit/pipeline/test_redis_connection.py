"""Where Redis is, as settings say it."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import RedisSettings, Secret


def test_where_it_is():
    assert RedisSettings().address == ("127.0.0.1", 6379)
    settings = RedisSettings(Secret(b"redis.test\n"), Secret(b" 7000"))
    settings.check()
    assert settings.address == ("redis.test", 7000)


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "1e3", "x", "\u00b2", "9" * 50])
def test_ports_that_are_none(port):
    with pytest.raises(ConfigError, match=r"redis\.port: must be a port"):
        RedisSettings(port=Secret(port.encode())).check()


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'realtime_proxy\[redis\]'"):
        RedisSettings().check()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://redis.test", ("redis.test", 6379, None, None, 0)),
        ("redis://10.0.0.1:7000/3", ("10.0.0.1", 7000, None, None, 3)),
        ("redis://[::1]:7000/", ("::1", 7000, None, None, 0)),
        ("redis://:p%40ss@r", ("r", 6379, None, b"p@ss", 0)),
        ("redis://proxy:a:b@r:1", ("r", 1, b"proxy", b"a:b", 0)),
    ],
)
def test_urls(url, told):
    settings = RedisSettings.of_url(url)
    settings.check()
    username = settings.username and settings.username.value
    password = settings.password and settings.password.value
    assert (*settings.address, username, password, settings.db) == told


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "rediss://r",
        "redis://secret@r",
        "redis://u:secret@r/x",
        "redis://u:secret@r?db=1",
        "redis://u:secret@r:123456",
        "redis://u:sec ret@r",
        "http://r",
    ],
)
def test_urls_that_lead_to_no_redis(url):
    with pytest.raises(ConfigError, match=r"must be `redis://") as caught:
        RedisSettings.of_url(url)
    assert "secret" not in str(caught.value)
