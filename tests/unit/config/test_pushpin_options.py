import pytest

from realtime_proxy.config.pushpin_options import left_over_notes
from realtime_proxy.config.pushpin_settings import Settings


@pytest.fixture
def left_over(tmp_path):
    def left_over(section, line):
        file = tmp_path / "pushpin.conf"
        file.write_text(f"[{section}]\n{line}\n")
        notes = left_over_notes(Settings.read(file))
        return [str(note) for note in notes if "Pushpin's default" not in str(note)]

    return left_over


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("global", "libdir=/usr/lib/pushpin"),
        ("global", "rundir=/run"),
        ("runner", "services=connmgr,proxy,handler"),
        ("runner", "zurl_bin=/usr/bin/zurl"),
        ("proxy", "workers=4"),
        ("proxy", "updates_check=report"),
        ("proxy", "zurl_out_specs=ipc://x"),
        ("proxy", "inspect_spec=ipc://x"),
        ("handler", "proxy_accept_spec=ipc://x"),
        ("handler", "m2a_in_stream_specs=ipc://x"),
        ("handler", "state_spec=ipc://x"),
        ("proxy", "max_open_requests=-1"),
        ("handler", "share_all=0"),
    ],
)
def test_what_changes_nothing_is_not_noted(left_over, section, line):
    assert left_over(section, line) == []


@pytest.mark.parametrize(
    ("section", "line", "note"),
    [
        ("handler", "push_in_specs=tcp://*:1", "unknown"),
        ("runner", "logdir=log", "replaced by [log] file"),
        ("proxy", "colour=red", "[proxy] colour: unknown"),
        ("elsewhere", "a=b", "[elsewhere] a: unknown"),
    ],
)
def test_everything_else_is_noted(left_over, section, line, note):
    notes = left_over(section, line)
    assert len(notes) == 1
    assert note in notes[0]
