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
    for check in (
        checks.backend_url,
        checks.route_host,
        checks.handler_name,
        checks.not_empty,
        checks.host_and_port,
        checks.network,
        checks.path_start,
    ):
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


@pytest.mark.parametrize("host", ["a", "a.test:80", "127.0.0.1", "[::1]", "[::1]:80", "a_b"])
def test_hosts_for_backends(host):
    checks.host_and_port(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":80",
        "a:",
        "a:x",
        "a:0",
        "a:65536",
        "a b",
        "a/b",
        "::1",
        "[::1",
        "[::1]x",
        "[a]",
        "ä",
        "a\r\nX: y",
        "[::1]:",
        "u@a",
    ],
)
def test_what_is_no_host_for_a_backend(host):
    with pytest.raises(ConfigError):
        checks.host_and_port(host)


def test_networks():
    for text in ("10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32", "unix"):
        checks.network(text)
    for text in ("", "10.0.0.1/8", "10.0.0.0/40", "localhost", "unix:/run/x"):
        with pytest.raises(ConfigError, match="address or network"):
            checks.network(text)


def test_rules_for_forwarded_addresses():
    for word in ("append", "truncate:0", "truncate:12"):
        checks.forwarded_rule(word)
    for word in ("", "truncate", "truncate:", "truncate:-1", "truncate:x", "prepend"):
        with pytest.raises(ConfigError, match="accepted: `truncate:N`, `append`"):
            checks.forwarded_rule(word)


def test_names_of_cdns():
    for name in ("me", "me; v=1", "a.example:8080"):
        checks.cdn_name(name)
    for name in ("", " me", "a, b", "a\r\nb", "ä"):
        with pytest.raises(ConfigError, match="CDN-Loop"):
            checks.cdn_name(name)


def test_beginnings_of_paths():
    for text in (None, "", "/", "/a%20b/"):
        checks.path_start(text)
    for text in ("a", "/a b", "/a?b", "/a#b", "/ä", "/a\r\n"):
        with pytest.raises(ConfigError, match="can't begin a path"):
            checks.path_start(text)


@pytest.mark.parametrize(
    "field",
    [
        ("A B", ""),
        ("", ""),
        ("A:", ""),
        ("Host", "a"),
        ("connection", ""),
        ("Grip-Sig", "x"),
        ("Content-Length", "1"),
        ("transfer-encoding", ""),
        ("A", "b\r\nC: d"),
        ("A", "\x00"),
    ],
)
def test_fields_that_a_route_may_not_change(field):
    with pytest.raises(ConfigError):
        checks.editable_field(*field)


def test_fields_that_a_route_may_change():
    checks.editable_field("X-One", "any text, ä\tb")
    checks.editable_field("Authorization")


def test_beginnings_of_names_of_metrics():
    for text in ("pp_", "a:b", "_"):
        checks.metric_prefix(text)
    for text in ("1a", "a-b", "ä", "a b"):
        with pytest.raises(ConfigError, match="begin names of metrics"):
            checks.metric_prefix(text)
