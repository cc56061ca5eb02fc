import pytest

from realtime_proxy.config.load import load_text
from realtime_proxy.errors import ConfigError


def problems(text, file=None):
    with pytest.raises(ConfigError) as caught:
        load_text(text, file)
    return {problem.key_path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('host = "a.test"', 'host = "A.TEST"', True),
        ('host = "::1"', 'host = "[::1]"', True),
        ("", 'host = "*"\nid = "two"', True),
        ("", "tls = true", False),
        ('host = ""\nid = "one"', 'host = ""\nid = "two"', False),
        ('id = "one"', 'host = "a.test"\nid = "one"', False),
        ("tls = true", "tls = false", False),
        ('path = "/a"', 'path = "/b"', False),
        ('protocol = "http"', 'protocol = "websocket"', False),
    ],
)
def test_routes_with_the_same_condition(one, other, same):
    text = "".join(f"[[route]]\n{route}\ntargets = [{{demo = true}}]\n" for route in (one, other))
    if same:
        assert "same `host`" in problems(text)["route[1]"]
    else:
        load_text(text)


def test_addresses_of_several_kinds_are_compared():
    text = """
        [server]
        listen = ["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:0", "127.0.0.1:0"]
        [publish]
        pull = "tcp://127.0.0.1:2"
        sub = ["tcp://127.0.0.1:3", "tcp://127.0.0.1:2"]
        http = "127.0.0.1:2"
        """
    assert set(problems(text)) == {"server.listen[1]", "publish.pull", "publish.sub[1]"}
    load_text(
        '[publish]\npull = "tcp://127.0.0.1:2"\nsub = ["tcp://127.0.0.1:2"]\nsub_connect = true'
    )


def test_certificates_must_be_there(tmp_path):
    text = """
        [[server.tls]]
        listen = "127.0.0.1:1"
        certificate = "c.pem"
        key = "k.pem"
        certificates = "certs"
        """
    found = problems(text, str(tmp_path / "routes.toml"))
    assert str(tmp_path / "c.pem") in found["server.tls[0].certificate"]
    assert set(found) == {f"server.tls[0].{key}" for key in ("certificate", "key", "certificates")}
    (tmp_path / "c.pem").touch()
    (tmp_path / "k.pem").touch()
    (tmp_path / "certs").mkdir()
    assert load_text(text, str(tmp_path / "routes.toml")).server.tls[0].key == "k.pem"


def test_a_tls_listener_is_enough(tmp_path):
    for name in ("c", "k"):
        (tmp_path / name).touch()
    load_text(
        '[server]\nlisten = []\ntls = [{listen="127.0.0.1:1", certificate="c", key="k"}]',
        str(tmp_path / "routes.toml"),
    )


def test_open_publishing_may_be_asked_for():
    open_to_all = 'pull = "tcp://*:5560"\nsub = ["tcp://127.0.0.1:1", "tcp://*:5562"]'
    open_to_all += '\ncommand = "tcp://*:5563"'
    found = {"publish.pull", "publish.sub[1]", "publish.command"}
    assert set(problems(f"[publish]\n{open_to_all}")) == found
    load_text(f"[publish]\n{open_to_all}\nallow_unauthenticated = true")


KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"  # of the manual of ZeroMQ


def test_addresses_for_others_are_fine_with_keys():
    load_text('[publish]\nhttp = "0.0.0.0:5561"\nkey = "sesame"')
    curve = f'curve_key = "{KEY}"\ncurve_clients = ["{KEY}"]'
    zeromq = 'pull = "tcp://*:1"\nsub = ["tcp://*:2"]\ncommand = "tcp://*:3"'
    load_text(f"[publish]\n{zeromq}\n{curve}")
    other_kind = problems(f'[publish]\nhttp = "0.0.0.0:5561"\n{curve}')
    assert "or a `key`" in other_kind["publish.http"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f'curve_key = "{KEY}"', "publish.curve_clients"),
        (f'curve_clients = ["{KEY}"]', "publish.curve_clients"),
        (f'curve_server = "{KEY}"', "publish.curve_server"),
        ('curve_clients = ["short"]', "publish.curve_clients[0]"),
        (
            f'curve_key = "{KEY}"\ncurve_clients = ["{KEY}"]\nsub_connect = true',
            "publish.curve_server",
        ),
        ('key = "file:missing"', "publish.key"),
        ('curve_key = "env:MISSING_FOR_SURE"', "publish.curve_key"),
    ],
)
def test_keys_that_are_missing_or_none(text, path):
    assert path in problems(f"[publish]\n{text}")


def test_only_publishers_that_are_connected_to_need_no_keys_of_clients():
    off = 'pull = ""\ncommand = ""\nsub_connect = true'
    load_text(f'[publish]\n{off}\ncurve_key = "{KEY}"\ncurve_server = "{KEY}"')


def test_connecting_to_publishers_elsewhere_opens_nothing():
    load_text('[publish]\nsub = ["tcp://192.0.2.1:5562"]\nsub_connect = true')


@pytest.mark.parametrize(
    ("route", "path", "message"),
    [
        ('path_remove = 1\npath_replace = ""', ".path_remove", "excludes `path_replace`"),
        ('set_headers = {A = "1", a = "2"}', ".set_headers.a", "set twice"),
        ('set_headers = {A = "1"}\nremove_headers = ["a"]', ".set_headers.A", "too"),
        ('set_headers = {"A.B" = "1", "a.b" = "2"}', '.set_headers."a.b"', "set twice"),
    ],
)
def test_edits_that_contradict_each_other(route, path, message):
    found = problems(f"[[route]]\ntargets = [{{demo = true}}]\n{route}")
    assert list(found) == ["route[0]" + path]
    assert message in found["route[0]" + path]


def test_authorities_of_clients_must_be_there(tmp_path):
    tls = 'listen = "127.0.0.1:1", certificate = "c", key = "c"'
    (tmp_path / "c").touch()
    text = f"""
        [server]
        tls = [{{{tls}, client_ca = "no"}}, {{{tls}, client_certificate = "optional"}}]
    """
    found = problems(text, tmp_path / "routes.toml")
    assert found["server.tls[0].client_ca"] == f"there is no file {tmp_path}/no"
    assert "without it clients are not asked" in found["server.tls[1].client_ca"]


def test_client_certificates_must_be_there(tmp_path):
    (tmp_path / "key.pem").touch()
    target = 'url = "https://a", client_key = "key.pem"'
    text = f'[[route]]\ntargets = [{{{target}}}, {{{target}, client_certificate = "no"}}]'
    found = problems(text, tmp_path / "routes.toml")
    assert found == {
        "route[0].targets[0].client_certificate": "is missing; `client_key` is the key of one",
        "route[0].targets[1].client_certificate": f"there is no file {tmp_path}/no",
    }


WAITING = """
[[route]]
targets = [{ zhttpreq = "tcp://127.0.0.1:1" }]
[[route]]
host = "a"
targets = [{ zhttpreq = "tcp://127.0.0.1:1", over_http = true }]
"""


def test_targets_may_share_a_zeromq_address():
    assert load_text(WAITING).route[0].targets[0].zhttpreq == "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[server]\nworkers = 2", "one process can wait there, not several"),
        ('[publish]\npull = "tcp://127.0.0.1:1"', "is in use already, by publish.pull"),
    ],
)
def test_nobody_else_waits_at_a_zeromq_address(more, message):
    with pytest.raises(ConfigError, match=rf"route\[0\].targets\[0\].zhttpreq: .*{message}"):
        load_text(more + WAITING)
    connecting = WAITING.replace('1"', '1", zhttpreq_connect = true')
    assert load_text(more + connecting).route


@pytest.mark.parametrize(
    ("table", "key", "address"),
    [("stats", "pub", "tcp://*:5570"), ("metrics", "listen", "0.0.0.0:9100")],
)
def test_who_watches_from_elsewhere_has_to_be_allowed(table, key, address):
    text = f'[{table}]\n{key} = "{address}"\n'
    assert "other machines" in problems(text)[f"{table}.{key}"]
    load_text(f"{text}allow_unauthenticated = true\n")


def test_addresses_of_those_who_watch_are_compared_too():
    text = '[metrics]\nlisten = "127.0.0.1:5561"\n[stats]\npub = "tcp://127.0.0.1:5561"\n'
    assert set(problems(text)) == {"metrics.listen", "stats.pub"}


def test_operators_from_elsewhere_need_a_key():
    text = '[admin]\nlisten = "0.0.0.0:5564"\n'
    assert "other machines" in problems(text)["admin.listen"]
    assert load_text(f'{text}key = "sesame"').admin.key == "sesame"
    for local in ("127.0.0.1:5564", "[::1]:5564", "unix:/run/admin?mode=600"):
        assert load_text(f'[admin]\nlisten = "{local}"').admin.listen == local


def test_the_admin_port_and_its_key_have_to_be_there():
    text = '[admin]\nlisten = "127.0.0.1:5561"\nkey = "env:NO_SUCH_NAME"\nnames = ["a b"]\n'
    assert set(problems(text)) == {"admin.listen", "admin.key", "admin.names[0]"}


PROXIED = """
    [server]
    listen = ["127.0.0.1:1", "127.0.0.1:2?proxy_protocol=true"]
    [[server.tls]]
    listen = "127.0.0.1:3"
    certificate = "c"
    key = "c"
    proxy_protocol = true
"""


def test_proxy_headers_are_taken_from_known_proxies(tmp_path):
    (tmp_path / "c").touch()
    file = tmp_path / "routes.toml"
    found = problems(PROXIED, file)
    assert set(found) == {"server.listen[1]", "server.tls[0].proxy_protocol"}
    assert all("`[forwarded] trusted_proxies`" in message for message in found.values())
    load_text(PROXIED + '[forwarded]\ntrusted_proxies = ["10.0.0.1"]', file)


def test_an_address_is_the_same_with_proxy_headers():
    text = """
        server.listen = ["127.0.0.1:1", "127.0.0.1:1?proxy_protocol=true"]
        forwarded.trusted_proxies = ["unix"]
    """
    assert "in use already" in problems(text)["server.listen[1]"]


def test_what_a_backend_is_checked_for_is_said_once(tmp_path):
    (tmp_path / "ca.pem").touch()
    url = 'url = "https://a:1"'
    text = f"""
        [[route]]
        targets = [
            {{ {url}, insecure = true, ca = "ca.pem" }},
            {{ {url}, trust_connect_host = false, server_name = "b" }},
            {{ {url}, ca = "no.pem", server_name = "a:1" }},
        ]
    """
    found = problems(text, tmp_path / "routes.toml")
    assert "excludes `ca`" in found["route[0].targets[0].insecure"]
    assert "excludes `server_name`" in found["route[0].targets[1].trust_connect_host"]
    assert found["route[0].targets[2].ca"] == f"there is no file {tmp_path}/no.pem"
    assert "not a host name" in found["route[0].targets[2].server_name"]


@pytest.mark.parametrize(
    ("route", "path", "message"),
    [
        ('path = "/a/"\nsockjs = "/b"', ".sockjs", "is not below the `path` of the route, `/a/`"),
        ('sockjs_as_path = "/ws"', ".sockjs_as_path", "needs `sockjs`"),
    ],
)
def test_sockjs_where_nobody_gets(route, path, message):
    found = problems(f"[[route]]\ntargets = [{{demo = true}}]\n{route}")
    assert found == {"route[0]" + path: message}


def test_sockjs_may_be_the_whole_path_of_a_route():
    text = '[[route]]\ntargets = [{demo = true}]\npath = "/sock/"\nsockjs = "/sock"'
    assert load_text(text).route[0].sockjs == "/sock"


DECIDING = "[[route]]\ntargets = [{ decisions = true }]\n"
KNOWN = '[forwarded]\ntrusted_proxies = ["unix"]\n'


def test_decisions_are_for_known_proxies():
    assert load_text(KNOWN + DECIDING, None)
    assert load_text('[grip]\nupstream_key = "k"\n' + DECIDING, None)
    assert "nobody could ask" in problems(DECIDING)["route[0].targets[0].decisions"]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ('handlers = ["a"]', "handlers"),
        ("cross_origin = true", "cross_origin"),
        ('sockjs = "/echo"', "sockjs"),
    ],
)
def test_where_gateways_ask_there_is_nothing_else(written, key):
    assert "has no place" in problems(KNOWN + DECIDING + written)[f"route[0].{key}"]


def test_decisions_have_no_backends_beside_them():
    targets = 'targets = [{ decisions = true }, { url = "http://a" }]'
    found = problems(f"{KNOWN}[[route]]\n{targets}")
    assert found == {"route[0].targets[0].decisions": "excludes other targets"}


SCOPED = """
[[route]]
delivery_scope_claim = "{claim}"
{handlers}
targets = [{{ url = "http://a.test", subscribe = ["all", "of/{{claims.agency}}"] }}]
"""


@pytest.mark.parametrize(
    ("claim", "handlers", "keys"),
    [
        ("agency", 'handlers = ["jwt_auth"]', set()),
        ("agency", "", {"route[0].delivery_scope_claim"}),
        ("tenant", 'handlers = ["jwt_auth"]', {"route[0].targets[0].subscribe[1]"}),
        ("", "", {"route[0].targets[0].subscribe[1]"}),
    ],
)
def test_a_scope_needs_somebody_who_tells_claims(claim, handlers, keys):
    text = SCOPED.format(claim=claim, handlers=handlers)
    assert set(problems(text) if keys else load_text(text) and ()) == keys
