import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.load import load_config, load_text
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError, Problem


def problems(text, file=None):
    with pytest.raises(ConfigError) as caught:
        load_text(text, file)
    return {problem.key_path: problem.message for problem in caught.value.problems}


def test_an_empty_file_is_all_defaults():
    assert load_text("") == Config()


def test_a_whole_file():
    config = load_text(
        """
        [server]
        listen = ["127.0.0.1:0", "unix:/run/rp.sock?mode=660"]
        idle_timeout_seconds = 5
        [handler.partner]
        use = "key_auth"
        when = 2026-01-01
        [[route]]
        host = "a.test"
        tls = true
        handlers = ["partner"]
        targets = [{ url = "https://10.0.0.1:8000", over_http = true, subscribe = ["all"] }]
        [[route]]
        targets = [{ demo = true }]
        """
    )
    assert config.server.listen == ("127.0.0.1:0", "unix:/run/rp.sock?mode=660")
    assert config.server.idle_timeout_seconds == 5.0
    assert isinstance(config.server.idle_timeout_seconds, float)
    assert config.handler["partner"]["use"] == "key_auth"
    assert config.route[0] == Route(
        host="a.test",
        tls=True,
        handlers=("partner",),
        targets=(Target(url="https://10.0.0.1:8000", over_http=True, subscribe=("all",)),),
    )
    assert config.route[1].tls is None


def test_every_problem_is_reported_at_once():
    found = problems(
        """
        [server]
        listen = [5, "nonsense", "127.0.0.1:99999"]
        max_conections = 1
        max_connections = "many"
        [grip]
        key = "env:REALTIME_PROXY_NO_SUCH_NAME"
        [publish]
        pull = "tcp://0.0.0.0:5560"
        ipc_mode = "rw"
        [log]
        level = "loud"
        [handler]
        broken = 5
        [[route]]
        id = "one"
        protocol = "smtp"
        [[route]]
        host = "*.a.test"
        targets = [{ url = "ftp://a" }, { over_http = 1 }]
        """
    )
    assert set(found) == {
        "server.listen[0]",
        "server.listen[1]",
        "server.listen[2]",
        "server.max_conections",
        "server.max_connections",
        "grip.key",
        "publish.pull",
        "publish.ipc_mode",
        "log.level",
        "handler.broken",
        "route[0].targets",
        "route[0].protocol",
        "route[1].host",
        "route[1].targets[0].url",
        "route[1].targets[1]",
        "route[1].targets[1].over_http",
    }


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("server.max_conections = 1", "server.max_conections", "did you mean `max_connections`?"),
        ("routes = []", "routes", "did you mean `route`?"),
        ("[publish]\nzzz = 1", "publish.zzz", "known here: pull, sub,"),
        ("server = 5", "server", "must be a table, not a whole number"),
        ("server.tls = {}", "server.tls", "must be a list (`[[…]]`), not a table"),
        ('server.listen = "a:1"', "server.listen", "must be a list, not text"),
        ("log.level = 5", "log.level", "must be text in quotes, not a whole number"),
        ("server.max_connections = true", "server.max_connections", "whole number, not true or"),
        ("server.max_connections = 1.0", "server.max_connections", "whole number, not a number"),
        ("server.max_connections = 0", "server.max_connections", "1 or more"),
        ("server.max_body_bytes = -1", "server.max_body_bytes", "0 or more"),
        ("server.header_timeout_seconds = 0", "server.header_timeout_seconds", "more than 0"),
        ("server.hold_timeout_seconds = nan", "server.hold_timeout_seconds", "finite"),
        ("server.hold_timeout_seconds = true", "server.hold_timeout_seconds", "must be a number"),
        ("server.debug = 1", "server.debug", "must be true or false"),
        ("log.file = 2026-01-01", "log.file", "not a date or time"),
        ('log.format = "xml"', "log.format", "accepted: `console`, `json`"),
        ("server.listen = []", "server.listen", "no address to listen on"),
        (
            'server.listen = ["127.0.0.1:5561"]',
            "publish.http",
            "in use already, by server.listen[0]",
        ),
        ('publish.http = "0.0.0.0:5561"', "publish.http", "allow_unauthenticated = true"),
        ('publish.pull = "tcp://*:5560"', "publish.pull", "allow_unauthenticated = true"),
        ('publish.pull = "127.0.0.1:5560"', "publish.pull", "not a ZeroMQ address"),
        ('forwarded.x_forwarded_for = ["x"]', "forwarded.x_forwarded_for[0]", "`truncate:N`"),
        ('forwarded.trusted_proxies = ["10.0.0.1/8"]', "forwarded.trusted_proxies[0]", "host bits"),
        ('forwarded.cdn_loop = "a, b"', "forwarded.cdn_loop", "no comma"),
        ('grip.upstream_key = "file:missing"', "grip.upstream_key", "can't read missing"),
    ],
)
def test_one_problem(line, path, message):
    found = problems(line)
    assert list(found) == [path]
    assert message in found[path]


@pytest.mark.parametrize(
    ("route", "path", "message"),
    [
        ("targets = []", ".targets", "at least one target"),
        ("targets = [{}]", ".targets[0]", "needs a `url`"),
        (
            'targets = [{demo = true, url = "http://a:1"}]',
            ".targets[0]",
            "has `url` and `demo`; only one",
        ),
        ("targets = [{demo = true, test = true}]", ".targets[0]", "has `demo` and `test`"),
        ("targets = [{demo = false}]", ".targets[0]", "needs a `url`"),
        ('targets = [{url = "a:80"}]', ".targets[0].url", "http:// or https://"),
        ('targets = [{url = "http://:80"}]', ".targets[0].url", "no usable host"),
        ('targets = [{url = "http://a:0"}]', ".targets[0].url", "port `0`"),
        ('targets = [{url = "http://a:x"}]', ".targets[0].url", "port `x`"),
        ('targets = [{url = "http://[::1"}]', ".targets[0].url", "not a URL"),
        ('targets = [{url = "http://a/path"}]', ".targets[0].url", "more than"),
        ('targets = [{url = "http://u:p@a:1"}]', ".targets[0].url", "more than"),
        ('targets = [{demo=true, subscribe=[""]}]', ".targets[0].subscribe[0]", "is empty"),
        ('host = "a:80"\ntargets = [{demo=true}]', ".host", "without port"),
        ('host = "ä.test"\ntargets = [{demo=true}]', ".host", "not ASCII"),
        ('handlers = ["../x"]\ntargets = [{demo=true}]', ".handlers[0]", "not a handler name"),
        ('host = ""\ntargets = [{demo=true}]', ".id", "only its id leads"),
        ('as_host = "a/b"\ntargets = [{demo=true}]', ".as_host", "is not a host"),
        ('path_replace = "a"\ntargets = [{demo=true}]', ".path_replace", "begins with `/`"),
        ("set_headers = {A = 5}\ntargets = [{demo=true}]", ".set_headers.A", "text in quotes"),
        ('set_headers = {A = "b\\r\\nC: d"}\ntargets = [{demo=true}]', ".set_headers", "line ends"),
        ('set_headers = {Host = "a"}\ntargets = [{demo=true}]', ".set_headers", "as_host"),
        ('remove_headers = ["Host"]\ntargets = [{demo=true}]', ".remove_headers[0]", "as_host"),
        ('log_level = "loud"\ntargets = [{demo=true}]', ".log_level", "accepted: nothing, `error`"),
        ('targets = [{url = "http://a", host = "b:x"}]', ".targets[0].host", "port `x`"),
        (
            'issuer = "i"\nkey = "base64:!"\ntargets = [{demo=true}]',
            ".key",
            "not base64",
        ),
    ],
)
def test_one_problem_in_a_route(route, path, message):
    found = problems("[[route]]\n" + route)
    assert list(found) == ["route[0]" + path]
    assert message in found["route[0]" + path]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a = 1\nb =", "end of file"),
        ("a = 1\nb = ?\n", "line 2, column 5"),
        ("a=1\na=1", "end of file"),
    ],
)
def test_toml_errors_have_a_place(text, path):
    with pytest.raises(ConfigError) as caught:
        load_text(text, "some.toml")
    assert str(caught.value).startswith(f"some.toml: {path}")


def test_a_number_without_end():
    with pytest.raises(ConfigError, match="limit"):
        load_text("a = " + "9" * 5000)


def test_a_file_that_can_not_be_read(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "missing.toml")
    assert caught.value.file == str(tmp_path / "missing.toml")
    assert "No such file" in str(caught.value)


def test_a_file_that_is_not_text(tmp_path):
    file = tmp_path / "routes.toml"
    file.write_bytes(b"# \xff")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.problems == [Problem("", "is not UTF-8 text (byte 2)")]


def test_a_file_of_nothing_but_brackets(tmp_path):
    file = tmp_path / "routes.toml"
    file.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.problems == [Problem("", "is nested too deeply")]


def test_secrets_are_found_from_the_file(tmp_path):
    (tmp_path / "key").write_text("secret")
    (tmp_path / "routes.toml").write_text('[grip]\nkey = "file:key"\n')
    assert load_config(tmp_path / "routes.toml").grip.key == "file:key"


values = st.recursive(
    st.sampled_from(["1", "-1", "0.5", "true", '""', '"a:1"', '"env:"', "inf", "1979-05-27"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                ["listen", "url", "demo", "targets", "key", "issuer", "id", "tls", "x"]
            ),
            inner,
            max_size=3,
        ).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["server", "grip", "publish", "handler", "route"]), values))
def test_any_toml_loads_or_is_a_config_error(table):
    text = "\n".join(f"{key} = {value}" for key, value in table.items())
    found = []
    try:
        assert isinstance(load_text(text), Config)
    except ConfigError as error:
        found = error.problems
    assert all(problem.key_path and problem.message for problem in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("section", ["[global]", "[proxy] ", "[runner]", "[handler]"])
def test_a_pushpin_conf_is_known(section):
    hints = problems(f"{section}\nrundir=run\n", "/etc/pushpin/pushpin.conf")
    assert hints["line 2, column 8"] == "Invalid value"
    assert "`realtime-proxy convert /etc/pushpin/pushpin.conf`" in hints[""]
    assert "" not in problems("[server]\nrundir=run")
