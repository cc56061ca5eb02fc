"""Which headers handlers may set for backends, and which only they do."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.backend_headers import backend_header, set_by_handlers_only


@pytest.mark.parametrize("name", ["X-User", "Authorization", "Cookie", "X_A.b"])
def test_names_that_may_be(name):
    backend_header(name, "a {b}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", ""),
        ("X A", ""),
        ("X-A:", ""),
        ("Host", ""),
        ("Connection", ""),
        ("content-length", ""),
        ("Content-Type", ""),
        ("Transfer-Encoding", ""),
        ("Grip-Sig", ""),
        ("GRIP-Hold", ""),
        ("Sec-WebSocket-Key", ""),
        ("X-A", "a\r\nb"),
    ],
)
def test_names_and_values_that_may_not(name, value):
    with pytest.raises(ConfigError):
        backend_header(name, value)


def test_those_of_credentials_are_not_taken_off_everywhere():
    names = ("X-User", "Authorization", "COOKIE", "Proxy-Authorization", "x_id")
    assert set_by_handlers_only(names) == {"x-user", "x_id"}
