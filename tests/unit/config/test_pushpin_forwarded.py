import pytest

from realtime_proxy.config.pushpin_forwarded import converted_forwarded
from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.config.server_section import Forwarded


@pytest.fixture
def converted(tmp_path):
    """What becomes of lines of `[proxy]`, and the notes about them."""

    def converted(*lines):
        file = tmp_path / "pushpin.conf"
        file.write_text("\n".join(["[proxy]", *lines]))
        settings = Settings.read(file)
        return Forwarded(**converted_forwarded(settings)), [str(note) for note in settings.notes]

    return converted


def test_pushpin_without_any_of_it_changes_nothing(converted):
    nothing = Forwarded(
        set_x_forwarded_proto="",
        x_forwarded_for=(),
        x_forwarded_for_trusted=(),
        drop_untrusted=False,
        via="",
    )
    assert converted() == (nothing, [])


def test_everything_is_carried_over(converted):
    assert converted(
        "accept_x_forwarded_protocol=true",
        "set_x_forwarded_protocol=proto-only",
        "x_forwarded_for=truncate:1,append",
        "x_forwarded_for_trusted=append",
        "orig_headers_need_mark=X-Marked, User-Agent",
        "accept_pushpin_route=true",
        "cdn_loop=me; v=1",
    )[0] == Forwarded(
        accept_x_forwarded_proto=True,
        set_x_forwarded_proto="proto",
        x_forwarded_for=("truncate:1", "append"),
        x_forwarded_for_trusted=("append",),
        original_headers_need_mark=("X-Marked", "User-Agent"),
        accept_pushpin_route=True,
        cdn_loop="me; v=1",
        drop_untrusted=False,
        via="",
    )


@pytest.mark.parametrize(("value", "got"), [("true", "both"), ("false", ""), ("maybe", "")])
def test_which_protocol_fields_are_set(converted, value, got):
    assert converted(f"set_x_forwarded_protocol={value}")[0].set_x_forwarded_proto == got


@pytest.mark.parametrize(
    ("line", "rule", "note"),
    [
        ("append,prepend", ("append",), "`prepend` is unknown"),
        ("append,truncate:x,append", ("append",), "has no number"),
        ("truncate", (), "has no number"),
        ("truncate:99999999999", ("truncate:9999",), None),
    ],
)
def test_rules_that_make_no_sense(converted, line, rule, note):
    forwarded, notes = converted(f"x_forwarded_for={line}")
    assert forwarded.x_forwarded_for == rule
    assert [note in text for text in notes] == ([True] if note else [])


def test_names_that_can_not_be(converted):
    forwarded, notes = converted("orig_headers_need_mark=X A,B", 'cdn_loop="a,b"')
    assert forwarded.original_headers_need_mark == ("B",)
    assert forwarded.cdn_loop == ""
    assert len(notes) == 2
