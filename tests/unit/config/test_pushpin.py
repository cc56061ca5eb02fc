import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_proxy.config.load import load_text
from realtime_proxy.config.pushpin import convert
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Log
from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.errors import ConfigError


@pytest.fixture
def conversion(tmp_path):
    """What becomes of a pushpin.conf and its routes: the configuration, and the notes."""

    def conversion(conf="", routes="* a:1\n", loads=True):
        (tmp_path / "pushpin.conf").write_text(conf)
        (tmp_path / "routes").write_text(routes)
        converted = convert(tmp_path / "pushpin.conf")
        config = load_text(converted.text) if loads else None
        return config, "\n".join(map(str, converted.notes)), converted.text

    return conversion


def test_an_empty_configuration_is_pushpins_defaults(conversion):
    config, _, text = conversion()
    assert config.server.listen == ("0.0.0.0:7999",)
    assert "\nworkers = 1\n" in text
    assert config.server.max_connections == 50_000
    assert config.server.max_header_bytes == 8192
    assert config.server.idle_timeout_seconds == 1800
    assert config.backend.read_timeout_seconds == 1800
    assert config.grip.issuer == "pushpin"
    assert config.grip.key == ""
    assert config.grip.max_channels == 20
    assert config.publish.message_wait_seconds == 5
    assert config.publish.id_cache_seconds == 60
    assert config.publish.update_on_first_subscription
    assert config.publish.subscription_linger_seconds == 60
    assert config.publish.max_deliveries_per_second == 0
    assert config.publish.max_queued_deliveries == 0
    assert config.publish.message_block_bytes == 0
    assert config.publish.pull == "tcp://127.0.0.1:5560"
    assert config.publish.sub == ("tcp://127.0.0.1:5562",)
    assert not config.publish.sub_connect
    assert config.publish.command == "tcp://127.0.0.1:5563"
    assert config.publish.http == ""
    assert config.log == Log(level="info", format="pushpin")
    assert config.route == (Route((Target(url="http://a:1"),)),)


def test_everything_that_is_carried_over(conversion, tmp_path):
    config, notes, _ = conversion(
        """
        [global]
        port_offset=10
        rundir=run
        ipc_prefix=x-
        [runner]
        http_port=7000,127.0.0.1:7001,[::1]:7002
        local_ports={rundir}/{ipc_prefix}srv?mode=660&user=u, /run/other
        client_maxconn=200
        client_buffer_size=4096
        allow_compression=true
        log_level=3
        logfile=log/x.log
        [proxy]
        debug=true
        log_from=true
        log_user_agent=true
        auto_cross_origin=true
        accept_x_forwarded_protocol=true
        set_x_forwarded_protocol=true
        sig_iss=me
        sig_key=file:sig.key
        upstream_key=base64:QUJD
        [handler]
        push_in_spec=ipc://{rundir}/{ipc_prefix}push
        push_in_http_addr=::1
        push_in_http_port=5561
        push_in_http_max_headers_size=3000
        push_in_http_max_body_size=5000
        ipc_file_mode=660
        connection_subscription_max=3
        message_rate=2500
        message_hwm=25000
        message_block_size=1024
        message_wait=1500
        id_cache_ttl=0
        update_on_first_subscription=false
        subscription_linger=7
        push_in_sub_specs=tcp://127.0.0.1:5562,ipc://{rundir}/{ipc_prefix}sub
        push_in_sub_spec=tcp://127.0.0.1:6000
        push_in_sub_connect=true
        stats_spec=
        command_spec=tcp://[::1]:5563
        """,
        loads=False,
    )
    (tmp_path / "sig.key").write_text("key")
    config = load_text(convert(tmp_path / "pushpin.conf").text)
    assert config.server.listen == (
        "0.0.0.0:7000",
        "127.0.0.1:7001",
        "[::1]:7002",
        f"unix:{tmp_path}/run/x-srv?mode=660&user=u",
        "unix:/run/other",
    )
    assert config.server.max_connections == 200
    assert config.server.max_header_bytes == 4096
    assert config.server.debug
    assert config.server.cross_origin
    assert config.server.compression
    assert config.forwarded == Forwarded(
        accept_x_forwarded_proto=True,
        set_x_forwarded_proto="both",
        x_forwarded_for=(),
        x_forwarded_for_trusted=(),
        drop_untrusted=False,
        via="",
    )
    assert config.server.event_stream_keep_alive_seconds == 0
    assert not config.server.unbuffered_streams
    assert config.log == Log(
        level="debug",
        format="pushpin",
        file=f"{tmp_path}/log/x.log",
        client_address=True,
        user_agent=True,
    )
    assert config.grip.issuer == "me"
    assert config.grip.key == f"file:{tmp_path}/sig.key"
    assert config.grip.upstream_key == "base64:QUJD"
    assert config.grip.max_channels == 3
    assert config.publish.pull == f"ipc://{tmp_path}/run/x-push"
    assert config.publish.sub == (
        "tcp://127.0.0.1:5572",
        f"ipc://{tmp_path}/run/x-sub",
        "tcp://127.0.0.1:6010",
    )
    assert config.publish.sub_connect
    assert config.publish.command == "tcp://[::1]:5573"
    assert config.publish.http == "[::1]:5571"
    assert config.publish.max_header_bytes == 3000
    assert config.publish.max_body_bytes == 5000
    assert config.publish.ipc_mode == "660"
    assert config.publish.max_deliveries_per_second == 2500
    assert config.publish.max_queued_deliveries == 25_000
    assert config.publish.message_block_bytes == 1024
    assert config.publish.message_wait_seconds == 1.5
    assert config.publish.id_cache_seconds == 0
    assert not config.publish.update_on_first_subscription
    assert config.publish.subscription_linger_seconds == 7
    assert not config.publish.allow_unauthenticated
    assert "sig.key" in notes  # it was not there the first time
    assert "not carried over" not in notes


def test_sub_addresses_that_are_none_are_left_out_and_noted(conversion):
    config, notes, _ = conversion("[handler]\npush_in_sub_specs=inproc://x,tcp://127.0.0.1:1\n")
    assert config.publish.sub == ("tcp://127.0.0.1:1",)
    assert "push_in_sub_specs: left out: `inproc://x`" in notes
    config, _, _ = conversion("[handler]\npush_in_sub_specs=\n")
    assert config.publish.sub == ()


def test_publishers_elsewhere_that_are_connected_to_open_nothing(conversion):
    config, notes, _ = conversion(
        "[handler]\npush_in_sub_specs=tcp://192.0.2.1:5562\npush_in_sub_connect=true\n"
    )
    assert not config.publish.allow_unauthenticated
    assert "WARNING" not in notes


def test_tls_listeners_have_the_certificates_of_their_ports(conversion, tmp_path):
    certs = tmp_path / "runner" / "certs"
    certs.mkdir(parents=True)
    for name in ("default_8443.crt", "default_8443.key"):
        (certs / name).touch()
    config, _, _ = conversion("[runner]\nhttp_port=\nhttps_ports=127.0.0.1:8443")
    assert config.server.listen == ()
    (tls,) = config.server.tls
    assert tls.listen == "127.0.0.1:8443"
    assert tls.certificate == f"{certs}/default_8443.crt"
    assert tls.key == f"{certs}/default_8443.key"
    assert tls.certificates == str(certs)


def test_a_missing_certificate_is_to_be_mended(conversion):
    _, notes, _ = conversion("[runner]\nhttps_ports=8443", loads=False)
    assert "to be mended by hand: server.tls[0].certificate" in notes


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("push_in_spec=tcp://0.0.0.0:5560", "push_in_spec"),
        ("push_in_spec=tcp://*:5560", "push_in_spec"),
        ("push_in_http_addr=0.0.0.0\npush_in_http_port=5561", "push_in_http_addr"),
    ],
)
def test_an_open_publish_address_stays_open_with_a_warning(conversion, line, key):
    config, notes, text = conversion(f"[handler]\n{line}")
    assert config.publish.allow_unauthenticated
    assert f"{key}: WARNING" in notes
    assert "WARNING" in text


@pytest.mark.parametrize(
    ("section", "line", "note"),
    [
        ("runner", "http_port=7999,nonsense", "`nonsense`"),
        ("runner", "http_port=7999,7999", "twice"),
        ("runner", "local_ports=a?mode=9", "not octal"),
        ("runner", "client_maxconn=many", "`many` is not a number; 50000 is used"),
        ("runner", "client_maxconn=0", "0 is below 1"),
        ("runner", "log_level=loud", "info is used"),
        ("runner", "log_level=2,handler:3", "single services"),
        ("handler", "push_in_spec=nonsense", "`nonsense`"),
        ("handler", "ipc_file_mode=rw", "`rw`"),
        ("handler", "push_in_http_addr=a b\npush_in_http_port=1", "no usable host"),
        ("handler", "push_in_http_port=70000", "70000"),
    ],
)
def test_options_that_make_no_sense_are_noted(conversion, section, line, note):
    _, notes, _ = conversion(f"[{section}]\n{line}")
    assert note in notes


def test_no_listener_at_all(conversion):
    _, notes, _ = conversion("[runner]\nhttp_port=", loads=False)
    assert "no server ports configured" in notes
    assert "to be mended by hand: server.listen" in notes


def test_a_tls_listener_is_enough(conversion):
    _, notes, _ = conversion("[runner]\nhttp_port=\nhttps_ports=8443", loads=False)
    assert "no server ports configured" not in notes


def test_minus_one_is_no_mode(conversion):
    config, notes, _ = conversion("[handler]\nipc_file_mode=-1")
    assert config.publish.ipc_mode == ""
    assert "ipc_file_mode" not in notes


def test_every_note_is_in_the_file(conversion):
    _, notes, text = conversion("[a]\nb=c\n[proxy]\ncdn_loop=x", "* a:1,host=b\nbad\n")
    unfolded = text.replace("\n#  ", "")
    assert notes.count("\n") > 0
    for note in notes.splitlines():
        assert f"# - {note}" in unfolded


def test_a_note_can_not_break_out_of_its_comment(conversion):
    config, _, _ = conversion('[proxy]\ncdn_loop="x\\n[server]\\nlisten = []"')
    assert config.server.listen == ("0.0.0.0:7999",)


def test_a_key_that_moves_into_the_file_is_noted(conversion, tmp_path):
    (tmp_path / "key").write_text("secret\n")
    config, notes, _ = conversion("[proxy]\nsig_key=file:key", "*,sig_iss=i,sig_key=file:key a:1\n")
    assert config.grip.key.startswith("base64:")
    assert config.route[0].key.startswith("base64:")
    assert notes.count("written in place") == 2


def test_missing_routes(tmp_path):
    (tmp_path / "pushpin.conf").write_text("[proxy]\nroutesfile=elsewhere")
    converted = convert(tmp_path / "pushpin.conf")
    assert f"{tmp_path}/elsewhere: can't be read" in str(converted.notes[-1])
    assert load_text(converted.text).route == ()


def test_an_unreadable_configuration(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        convert(tmp_path / "pushpin.conf")


words = st.sampled_from(
    [
        "*",
        "a.test",
        "A.test",
        "id=x",
        "a:80",
        "[::1]:80",
        "test",
        "zhttp/ipc://x",
        "nonsense",
        "ä:1",
    ]
) | st.text(max_size=8)
options = st.sampled_from(
    [
        "proto=ws",
        "proto=http",
        "ssl=yes",
        "ssl=no",
        "ssl",
        "path_beg=/a",
        "id=x",
        "id=y",
        "sig_iss=i",
        "sig_key=k",
        "sig_key=base64:!",
        "sig_key=env:X",
        "prefix=p",
        "no_grip",
        "header=A:b",
        "over_http",
        "sub=c",
        "sub=",
        "host=h",
        "untrusted",
    ]
) | st.builds(
    "{}={}".format, st.sampled_from(["path_beg", "id", "prefix", "sub"]), st.text(max_size=6)
)


def in_quotes(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


routes_word = st.builds(
    lambda head, rest, quote: ",".join(in_quotes(p) if quote else p for p in [head, *rest]),
    words,
    st.lists(options, max_size=3),
    st.booleans(),
)
lines = st.lists(st.lists(routes_word, max_size=3).map(" ".join), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines)
def test_any_routes_file_becomes_a_configuration_that_loads(conversion, lines):
    conversion(
        routes="\n".join(line.replace("\x00", "") for line in lines)
        .encode(errors="ignore")
        .decode()
    )
