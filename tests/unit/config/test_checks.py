import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config import checks
from realtime_proxy.config.addresses import parse_mode
from realtime_proxy.errors import ConfigError


@pytest.mark.parametrize(
    "url", ["http://a", "https://a:443/", "http://[::1]:80", "http://my_app:1"]
)
def test_urls_of_backends(url):
    checks.backend_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("a:80", "http:// or https://"),
        ("ftp://a", "http:// or https://"),
        ("http://", "no usable host"),
        ("http://:80", "no usable host"),
        ("http://a b", "no usable host"),
        ("http://a:0", "port `0`"),
        ("http://a:", "port ``"),
        ("http://a:x", "port `x`"),
        ("http://[::1", "not a URL"),
        ("http://[::1]x:1", "`http://HOST|V6"),
        ("http://a\n", "http://"),
        ("http://a/path", "more than"),
        ("http://a?q", "more than"),
        ("http://a#f", "more than"),
        ("http://u:p@a:1", "more than"),
    ],
)
def test_what_is_no_url_of_a_backend(url, problem):
    with pytest.raises(ConfigError, match=problem):
        checks.backend_url(url)


@pytest.mark.parametrize("host", ["*", "A.test", "a_b", "127.0.0.1", "::1", "[::1]"])
def test_hosts_of_routes(host):
    checks.route_host(host)


@pytest.mark.parametrize("host", ["", "a:80", "*.a.test", "ä.test", "a b", "http://a", ":", "[]"])
def test_what_is_no_host_of_a_route(host):
    with pytest.raises(ConfigError):
        checks.route_host(host)


@given(st.text())
def test_any_text_passes_or_is_a_config_error(text):
    for check in (checks.backend_url, checks.route_host, checks.handler_name, checks.not_empty):
        with contextlib.suppress(ConfigError):
            check(text)


def test_bounds():
    checks.at_least(1)(1)
    checks.above_zero(0.001)
    for check in (checks.at_least(1), checks.above_zero):
        with pytest.raises(ConfigError):
            check(0)


def test_an_empty_text_may_be_let_through():
    check = checks.or_empty(parse_mode)
    check("")
    check("660")
    with pytest.raises(ConfigError):
        check("x")


def test_words():
    check = checks.one_of("", "http")
    check("http")
    check("")
    with pytest.raises(ConfigError, match="accepted: nothing, `http`"):
        check("ws")


@pytest.mark.parametrize("name", ["cb", "$", "_a.b[0].c"])
def test_callbacks(name: str) -> None:
    checks.callback(name)


@pytest.mark.parametrize("name", ["", "1", "a()", "a\n", "a.", "ä"])
def test_what_is_no_callback(name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a JavaScript function"):
        checks.callback(name)


def test_methods() -> None:
    checks.method("M-SEARCH")
    for text in ("", "get", "A B", "GET\n"):
        with pytest.raises(ConfigError, match="not a method"):
            checks.method(text)
