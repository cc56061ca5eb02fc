import pytest

from realtime_proxy.config.pushpin_level import converted_level
from realtime_proxy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("0", "error"),
        ("1", "warning"),
        ("2", "info"),
        ("3", "debug"),
        ("9" * 99, "debug"),
        ("info", "info"),
    ],
)
def test_levels(text, level):
    assert converted_level(text) == level


@pytest.mark.parametrize("text", ["", "loud", "-1", "²", "INFO"])
def test_what_is_no_level(text):
    with pytest.raises(ConfigError, match="accepted: 0 to 3"):
        converted_level(text)
