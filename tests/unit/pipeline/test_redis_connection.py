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
