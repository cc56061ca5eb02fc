"""Configurations as people have them, converted and loaded: they mean what was intended.

Each file of `tests/pushpin` is one: what it is, `pushpin.conf`, `routes`, what the new
configuration has (a part of it, as TOML), what a person is told (patterns, one for each note), and
further files with their content.
"""

import re
import tomllib
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from realtime_proxy.cli.main import main
from realtime_proxy.config.load import load_config
from realtime_proxy.config.pushpin import convert

FOLDER = Path(__file__).resolve().parents[2] / "pushpin"
NAMES = sorted(file.stem for file in FOLDER.glob("*.txt"))
_PART = re.compile(r"^--- (.*)\n", re.MULTILINE)
# What waits for another part of the program; the notes go when that is there.
_LATER = re.compile("not carried over yet")


@attrs.frozen
class Site:
    """A configuration of Pushpin in a folder, and what is expected of its conversion."""

    folder: Path
    expected: dict
    notes: list


def build(name, folder):
    _, *parts = _PART.split((FOLDER / f"{name}.txt").read_text().replace("{dir}", str(folder)))
    texts = dict(zip(parts[::2], parts[1::2], strict=True))
    for line in texts.get("files", "").splitlines():
        file, _, content = line.partition(" = ")
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content.replace("\\n", "\n"))
    conf = texts["pushpin.conf"]
    if conf.startswith("@@CRLF@@"):
        conf = "\ufeff" + conf.removeprefix("@@CRLF@@\n").replace("\n", "\r\n")
        texts["routes"] = texts["routes"].replace("\n", "\r\n")
    (folder / "pushpin.conf").write_bytes(conf.encode())
    (folder / "routes").write_bytes(texts["routes"].encode())
    return Site(folder, tomllib.loads(texts["expected"]), texts.get("notes", "").splitlines())


def differences(expected, found, path=""):
    """Where a part of a configuration is not as expected."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            there = found.get(key) if isinstance(found, dict) else getattr(found, key)
            yield from differences(value, there, f"{path}.{key}")
    elif isinstance(expected, list) and len(expected) == len(found):
        for index, (value, there) in enumerate(zip(expected, found, strict=True)):
            yield from differences(value, there, f"{path}[{index}]")
    elif expected != found:
        yield f"{path[1:]} is {found!r}, not {expected!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_site_moves(name, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    site = build(name, tmp_path)
    new = tmp_path / "routes.toml"
    run = CliRunner().invoke(main, ["convert", str(tmp_path / "pushpin.conf"), "-o", str(new)])
    assert run.exit_code == 0, run.output
    checked = CliRunner().invoke(main, ["check", "--config", str(new)])
    assert checked.exit_code == 0, checked.output
    assert list(differences(site.expected, load_config(new))) == []

    told = [line for line in run.stderr.splitlines() if not _LATER.search(line)]
    for pattern in site.notes:
        assert [line for line in told if re.search(pattern, line)], f"nothing is told of {pattern}"
    surprising = [line for line in told if not any(re.search(note, line) for note in site.notes)]
    assert surprising == []
    comments = " ".join(
        line.removeprefix("#").strip()
        for line in new.read_text().splitlines()
        if line.startswith("#")
    )
    for line in run.stderr.splitlines():
        assert line in comments, "told on standard error, but not in the file"


def test_there_are_enough():
    assert len(NAMES) > 25


# Every option that Pushpin has had, with a value that is not its default.
OPTIONS = """
global: include=internal.conf rundir=x libdir=x ipc_prefix=x port_offset=1
    stats_connection_ttl=1 stats_connection_send=false
runner: services=x rundir=x http_port=1 https_ports=2 local_ports=x logdir=x log_level=1
    client_buffer_size=1 client_maxconn=1 allow_compression=true condure_bin=x mongrel2_bin=x
    m2sh_bin=x zurl_bin=x connmgr_bin=x proxy_bin=x handler_bin=x
proxy: workers=2 routesfile=x debug=true auto_cross_origin=true accept_x_forwarded_protocol=true
    set_x_forwarded_protocol=true x_forwarded_for=append x_forwarded_for_trusted=append
    orig_headers_need_mark=x accept_pushpin_route=true cdn_loop=x log_from=true
    log_user_agent=true sig_iss=x sig_key=x upstream_key=x sockjs_url=x max_open_requests=1
    prometheus_port=1 prometheus_prefix=x ipc_file_mode=660 stats_report_interval=1
    stats_connections_max_ttl=1 updates_check=check organization_name=x zurl_out_specs=x
    inspect_spec=x inspect_prefetch=1 accept_spec=x retry_in_spec=x intreq_out_specs=x
handler: ipc_file_mode=660 push_in_spec=tcp://127.0.0.1:1 push_in_sub_specs=tcp://127.0.0.1:2
    push_in_sub_spec=tcp://127.0.0.1:3 push_in_sub_connect=true push_in_http_addr=127.0.0.2
    push_in_http_port=1 push_in_http_max_headers_size=1 push_in_http_max_body_size=1
    stats_spec=tcp://127.0.0.1:4 command_spec=tcp://127.0.0.1:5 message_rate=1 message_hwm=1
    message_block_size=1 message_wait=1 id_cache_ttl=1 update_on_first_subscription=false
    connection_subscription_max=1 subscription_linger=1 stats_subscription_ttl=1
    stats_report_interval=1 stats_format=json prometheus_port=1 prometheus_prefix=x share_all=true
    state_spec=x proxy_inspect_spec=x m2a_in_stream_specs=x connmgr_in_specs=x
"""
CONDITION = (
    "proto=http ssl=yes path_beg=/ id=x sig_iss=x sig_key=x prefix=x orig_headers as_host=x "
    "path_rem=1 replace_beg=/ header=a:b debug aco jsonp_mode=basic jsonp_cb=x jsonp_body=x "
    "jsonp_defcb=x jsonp_defmethod=GET session sockjs=/ sockjs_as_path=/ no_grip log_level=1"
)
TARGET = (
    "ssl insecure trust_connect_host host=x over_http one_event sub=x untrusted client_cert=x "
    "client_key=x ipc_file_mode=660"
)


def test_every_option_is_known(tmp_path):
    """Each is carried over, or told of; none is taken for one that Pushpin has not."""
    conf = ""
    for word in OPTIONS.split():
        conf += f"[{word[:-1]}]\n" if word.endswith(":") else f"{word}\n"
    (tmp_path / "pushpin.conf").write_text(conf)
    options = (",".join(text.split()) for text in (CONDITION, TARGET))
    (tmp_path / "x").write_text("*,{} localhost:8000,{}\n".format(*options))
    told = "\n".join(map(str, convert(tmp_path / "pushpin.conf").notes))
    assert "unknown" not in told
    assert "x:1: left out" not in told


def test_an_option_that_pushpin_has_not_is_told(tmp_path):
    (tmp_path / "pushpin.conf").write_text("[proxy]\nnonsense=1\n")
    (tmp_path / "routes").write_text("*,nonsense localhost:8000,nonsense\n")
    told = "\n".join(map(str, convert(tmp_path / "pushpin.conf").notes))
    assert "[proxy] nonsense: unknown" in told
    assert "routes:1: `nonsense` is unknown" in told
