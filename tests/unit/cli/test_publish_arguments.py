import pytest

from realtime_proxy import __version__
from realtime_proxy.cli.publish_arguments import parse_arguments


@pytest.mark.parametrize(
    "argv",
    [
        ["--id", "5", "news", "hi"],
        ["news", "--id", "5", "hi"],
        ["news", "hi", "--id", "5"],
        ["news", "--id=5", "hi"],
        ["--id", "5", "--", "news", "hi"],
        ["news", "--id", "5", "--", "hi"],
    ],
)
def test_options_stand_anywhere(argv):
    arguments = parse_arguments(argv)
    assert (arguments.channels, arguments.content, arguments.id) == (["news"], "hi", "5")


@pytest.mark.parametrize("content", ["-x", "--id", "--", "-5", "-", "@file", ""])
def test_nothing_is_an_option_after_dashes(content):
    assert parse_arguments(["news", "--", content]).content == content


@pytest.mark.parametrize("content", ["-5", "-1.5", "-", "- a list", ""])
def test_content_that_only_looks_like_an_option(content):
    assert parse_arguments(["news", content]).content == content


def test_one_value_for_each_header_and_meta():
    arguments = parse_arguments(
        ["-H", "A: b", "-M", "x=y", "--header=C: d", "--meta=z=", "ch", "t"]
    )
    assert arguments.header == ["A: b", "C: d"]
    assert arguments.meta == ["x=y", "z="]
    assert (arguments.channels, arguments.content) == (["ch"], "t")


def test_flags():
    arguments = parse_arguments(["--hint", "--close", "--patch", "--no-seq", "--no-eol", "ch"])
    assert all([arguments.hint, arguments.close, arguments.patch, arguments.no_seq])
    assert arguments.no_eol
    assert arguments.is_action


def test_defaults(monkeypatch):
    arguments = parse_arguments(["ch"])
    assert (arguments.spec, arguments.timeout) == ("http://localhost:5561", 5)
    assert (arguments.id, arguments.prev_id, arguments.sender) == ("", "", "")
    assert (arguments.code, arguments.user, arguments.bearer) == (None, None, None)
    assert not arguments.is_action
    monkeypatch.setenv("GRIP_URL", "http://elsewhere")
    assert parse_arguments(["ch"]).spec == "http://elsewhere"
    assert parse_arguments(["--spec", "tcp://here:1", "ch"]).spec == "tcp://here:1"


@pytest.mark.parametrize(
    ("argv", "channels", "content"),
    [
        (["a", "x", "--channel", "b", "--channel", "c"], ["a", "b", "c"], "x"),
        (["--channel", "b", "x"], ["b"], "x"),
        (["--channel", "b", "a", "--file", "f"], ["a", "b"], None),
        (["--channel", "b", "--file", "f"], ["b"], None),
        (["--channel", "b", "a", "--hint"], ["a", "b"], None),
        (["--channel", "b", "--close"], ["b"], None),
        (["--close", "a", "x"], ["a"], "x"),
        (["--json", "x"], [], "x"),
        (["--json", "a", "x"], ["a"], "x"),
        (["--json", "--file", "f"], [], None),
        (["--json", "a", "--file", "f"], ["a"], None),
        (["--json"], [], None),
    ],
)
def test_which_word_is_what(argv, channels, content):
    arguments = parse_arguments(argv)
    assert (arguments.channels, arguments.content) == (channels, content)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "missing CHANNEL"),
        (["--hint"], "missing CHANNEL"),
        (["a", "b", "c"], "too many arguments"),
        (["a", "b", "--", "c"], "too many arguments"),
        (["a", "b", "--file", "f"], "CONTENT and --file exclude each other"),
        (["--nope", "a", "b"], "unknown option --nope"),
        (["--nop=x", "a", "b"], "unknown option --nop"),
        (["-Zx", "a", "b"], "unknown option -Z"),
        (["--prev", "1", "a"], "unknown option --prev"),
        (["a", "b", "--id"], "expected one argument"),
        (["a", "--timeout", "0"], "above 0"),
        (["a", "--timeout", "inf"], "above 0"),
        (["a", "--timeout", "soon"], "invalid"),
        (["--json", "--hint", "a"], "--json and --hint exclude each other"),
        (["--json", "--prev-id", "4", "a"], "--json and --prev-id exclude each other"),
    ],
)
def test_usage_errors(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_arguments(argv)
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert message in captured.err


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_hides_what_grip_url_holds(option, capsys, monkeypatch):
    monkeypatch.setenv("GRIP_URL", "http://h?key=s3cret")
    with pytest.raises(SystemExit) as stop:
        parse_arguments([option])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.err) == (0, "")
    assert "usage: pubcli" in captured.out
    assert "s3cret" not in captured.out


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_arguments([option])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"pubcli {__version__}\n"
