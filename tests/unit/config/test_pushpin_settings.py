import pytest

from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read(text, **files):
        (tmp_path / "pushpin.conf").write_text(text)
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return Settings.read(tmp_path / "pushpin.conf")

    return read


def notes(settings):
    return [note.message for note in settings.notes]


def test_names_in_braces_are_filled_in(read, tmp_path):
    settings = read(
        "[global]\nrundir=run\nipc_prefix=x-\nlibdir=/lib\n[a]\nb={rundir}/{ipc_prefix}c{libdir}"
    )
    assert settings.text("a", "b") == f"{tmp_path}/run/x-c/lib"


def test_defaults_of_what_is_filled_in(read, tmp_path):
    settings = read("[runner]\nrundir=old\n[a]\nb={rundir}/{ipc_prefix}c")
    assert settings.text("a", "b") == f"{tmp_path}/old/pushpin-c"
    assert settings.text("a", "none", "{rundir}") == f"{tmp_path}/old"


def test_ports_of_tcp_addresses_are_moved(read):
    settings = read(
        "[global]\nport_offset=10\n[a]\nb=tcp://127.0.0.1:1, tcp://[::1]:2,tcp://*:3,x:4"
    )
    assert settings.items("a", "b") == ["tcp://127.0.0.1:11", "tcp://[::1]:12", "tcp://*:13", "x:4"]


def test_nothing_is_filled_into_keys(read):
    settings = read("[global]\nport_offset=1\n[proxy]\nsig_key={rundir}tcp://a:1")
    assert settings.literal("proxy", "sig_key") == "{rundir}tcp://a:1"
    assert notes(settings) == []


def test_keys_that_pushpin_may_read_differently_are_noted(read):
    settings = read("[proxy]\nsig_key=a,b")
    assert settings.literal("proxy", "sig_key") == "a,b"
    assert "taken literally" in notes(settings)[0]


@pytest.mark.parametrize(
    ("written", "value", "noted"),
    [
        ("5", 5, False),
        ("-1", -1, False),
        ("", 7, False),
        ("5k", 7, True),
        ("-9", 7, True),
        ("1_0", 7, True),
    ],
)
def test_numbers(read, written, value, noted):
    settings = read(f"[a]\nb={written}")
    assert settings.number("a", "b", 7, minimum=-1) == value
    assert bool(settings.notes) == noted


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("1", True),
        ("x", True),
        ("false", False),
        ("False", False),
        ("0", False),
        ("", False),
    ],
)
def test_flags(read, written, value):
    assert read(f"[a]\nb={written}").flag("a", "b") is value
    assert read("").flag("a", "b") is False


def test_the_included_file_fills_gaps(read):
    settings = read(
        "[global]\ninclude=more.conf\n[a]\nb=main", **{"more.conf": "[a]\nb=more\nc=more"}
    )
    assert settings.text("a", "b") == "main"
    assert settings.text("a", "c") == "more"


def test_a_missing_include_is_noted_unless_it_is_pushpins_own(read):
    assert notes(read("[global]\ninclude={libdir}/internal.conf")) == []
    assert "no readable file" in notes(read("[global]\ninclude=more.conf"))[0]


def test_what_no_one_asked_for_is_known(read):
    settings = read('[a]\nb=1\nc=2\n[d]\ne="3"')
    settings.text("a", "b")
    assert settings.not_asked() == [("a", "c", "2"), ("d", "e", "3")]
    assert settings.has("a", "c")
    assert not settings.has("a", "e")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        Settings.read(tmp_path / "pushpin.conf")


def test_text_that_is_not_utf8_is_noted(tmp_path):
    (tmp_path / "pushpin.conf").write_bytes(b"[a]\nb=\xff")
    assert "UTF-8" in notes(Settings.read(tmp_path / "pushpin.conf"))[0]
