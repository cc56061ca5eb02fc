from pathlib import Path

import pytest

from realtime_proxy.config.pushpin_line import LineError, split_line
from realtime_proxy.config.pushpin_target import target_notes, targets_of
from realtime_proxy.config.route_section import Target


def read(text):
    """The targets in a text, and what is noted."""
    notes = []
    targets = list(targets_of(split_line(text), "routes:1", Path("/etc/pushpin"), notes))
    return targets, [str(note) for note in notes]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("over_http=1", "target bad format"),
        (":80", "target bad format"),
        ("::1:80", "target bad format"),
        ("http://a:80", "target bad format"),
        ("a:0", "target invalid port"),
        ("a:65536", "target invalid port"),
        ("a:x", "target invalid port"),
        ("a:1,host=b:x", "host: port `x`"),
        ("zhttpreq/x", "target bad format"),
    ],
)
def test_what_is_no_target(text, problem):
    with pytest.raises(LineError, match=problem):
        read(text)


def test_files_are_relative_to_the_old_configuration():
    [target], _ = read("a:1,ssl,client_cert=c.pem")
    assert target.client_certificate == "/etc/pushpin/c.pem"


def test_zeromq_targets():
    text = "zhttpreq/ipc:///tmp/x,over_http,ipc_file_mode=660,sub=a zhttpreq/tcp://127.0.0.1:1"
    assert read(text) == (
        [
            Target(zhttpreq="ipc:///tmp/x", ipc_mode="660", over_http=True, subscribe=("a",)),
            Target(zhttpreq="tcp://127.0.0.1:1"),
        ],
        [],
    )


def test_targets_that_are_connected_to_by_zhttp_are_left_out():
    targets, [note] = read("zhttp/ipc://x a:1")
    assert targets == [Target(url="http://a:1")]
    assert "`zhttp/ipc://x` left out" in note


def test_permissions_that_make_no_sense_are_left_out():
    [target], [note] = read("zhttpreq/ipc:///tmp/x,ipc_file_mode=999")
    assert target.ipc_mode == ""
    assert "`ipc_file_mode` left out" in note


def test_options_that_nobody_knows_are_named():
    [word] = split_line("a:1,colour,over_http")
    assert list(target_notes(word)) == ["`colour` is unknown, to Pushpin too; left out"]
