import json

import pytest

from realtime_proxy.cli.publish_arguments import parse_arguments
from realtime_proxy.cli.publish_item import build_items, parse_code
from realtime_proxy.errors import PublishError


def build(*argv):
    arguments = parse_arguments(argv)
    return build_items(arguments, parse_code(arguments.code))


def formats(*argv):
    (item,) = build("ch", *argv)
    return item["formats"]


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "content"
        path.write_bytes(data)
        return f"@{path}"

    return write


def test_literal_content_gets_a_newline_for_http():
    assert formats("x") == {
        "http-response": {"code": 200, "body": b"x\n"},
        "http-stream": {"content": b"x\n"},
        "ws-message": {"content": b"x"},
    }


def test_no_newline_when_asked():
    assert formats("x", "--no-eol")["http-stream"] == {"content": b"x"}


def test_event_for_streams():
    assert formats("a\nb", "--sse") == {
        "http-response": {"code": 200, "body": b"a\nb\n"},
        "http-stream": {"content": b"data: a\ndata: b\n\n"},
        "ws-message": {"content": b"a\nb"},
    }


def test_file_content_stays_as_it_is(file):
    assert formats(file(b"\xff")) == {
        "http-response": {"code": 200, "body": b"\xff"},
        "http-stream": {"content": b"\xff"},
        "ws-message": {"content": b"\xff"},
    }


def test_only_what_was_given_is_in_the_item():
    assert list(build("ch", "x")[0]) == ["channel", "formats"]
    assert list(build("ch", "x", "--id=", "--prev-id=", "--sender=")[0]) == ["channel", "formats"]


def test_all_there_is_to_an_item():
    argv = ["--id", "2", "--prev-id", "1", "--sender", "me", "--no-seq", "--code", "404"]
    (item,) = build(
        "ch", "x", *argv, "-H", "A : b ", "-H", "C:d:e", "-M", " k = v = w ", "-M", "e="
    )
    assert item == {
        "channel": "ch",
        "id": "2",
        "prev-id": "1",
        "formats": {
            "http-response": {
                "code": 404,
                "headers": [["A ", "b"], ["C", "d:e"]],
                "body": b"x\n",
            },
            "http-stream": {"content": b"x\n"},
            "ws-message": {"content": b"x"},
        },
        "meta": {"sender": "me", " k ": "v = w", "e": ""},
        "no-seq": True,
    }


def test_meta_wins_over_sender():
    assert build("ch", "x", "-M", "sender=b", "--sender", "a")[0]["meta"] == {"sender": "b"}


def test_several_channels_get_the_same_item():
    items = build("a", "x", "--channel", "b")
    assert [item["channel"] for item in items] == ["a", "b"]
    assert items[0]["formats"] == items[1]["formats"]


def test_hint_wins_over_close_and_content():
    hint = {"action": "hint"}
    every = {"http-response": hint, "http-stream": hint, "ws-message": hint}
    assert formats("--hint", "--close", "--patch", "@/no/such", "--code", "1000") == every


def test_close():
    close = {"action": "close"}
    assert formats("--close") == {"http-stream": close, "ws-message": close}


@pytest.mark.parametrize("flag", ["--hint", "--close"])
@pytest.mark.parametrize("option", [["-H", "x"], ["-M", "x"]])
def test_malformed_options_count_for_actions_too(flag, option):
    with pytest.raises(PublishError, match="must be in the form"):
        build("ch", flag, *option)


def test_patch(file):
    expected = {"http-response": {"code": 201, "body-patch": [{"op": "add", "value": 1.5}]}}
    text = '[{"op": "add", "value": 1.50}]'
    assert formats("--patch", text, "--code", "201") == expected
    assert formats("--patch", file(text.encode()), "--code", "201") == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "patch content must be a JSON array"),
        ("1", "patch content must be a JSON array"),
        ("[", "Expecting value: line 1 column 2"),
        ("[\udcff]", "JSON content is not UTF-8"),
        (f"[{2**63}]", "does not fit in 64 bits"),
        (f"[{-(2**63) - 1}]", "does not fit in 64 bits"),
        (f"[{'9' * 5000}]", "does not fit in 64 bits"),
        ("[1e999]", "too large"),
        ("[NaN]", "JSON content has no NaN"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_patch_that_makes_no_sense(text, problem):
    with pytest.raises(PublishError, match=problem):
        build("ch", "--patch", text)


def test_patch_with_the_extreme_numbers():
    response = formats("--patch", f"[{2**63 - 1}, {-(2**63)}]")["http-response"]
    assert response["body-patch"] == [2**63 - 1, -(2**63)]


@pytest.mark.parametrize(("text", "code"), [(None, 200), ("0", 0), ("+7", 7), ("0000999", 999)])
def test_code(text, code):
    assert parse_code(text) == code


@pytest.mark.parametrize("text", ["", "+", "-1", "x", "1.0", " 1", "²", "65536", "9" * 5000])
def test_code_that_is_no_number_of_16_bits(text):
    with pytest.raises(PublishError, match="failed to parse code: "):
        parse_code(text)


@pytest.mark.parametrize("code", ["1000", "65535"])
def test_code_out_of_range(code):
    with pytest.raises(PublishError, match="code must be an integer between 0 and 999"):
        build("ch", "x", "--code", code)


@pytest.mark.parametrize("argv", [["ch"], ["ch", "--patch"], ["--json"], ["--channel", "a"]])
def test_content_is_required(argv):
    with pytest.raises(PublishError, match="must specify content"):
        build(*argv)


ITEM = {"channel": "own", "id": "1", "http-stream": {"content": "é"}}
OPEN_ITEM = {"formats": {"ws-message": {"content-bin": "/w=="}}}


def test_json_items_are_sent_as_they_are():
    assert build("--json", json.dumps(ITEM)) == [ITEM]
    assert build("--json", json.dumps([ITEM, ITEM])) == [ITEM, ITEM]
    assert build("--json", "[]") == []


def test_json_items_without_a_channel_get_those_given():
    assert build("--json", "a", json.dumps([OPEN_ITEM, ITEM]), "--channel", "b") == [
        {"channel": "a", **OPEN_ITEM},
        {"channel": "b", **OPEN_ITEM},
        ITEM,
    ]


def test_json_items_from_a_file(file):
    assert build("--json", file(json.dumps(ITEM).encode())) == [ITEM]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([ITEM, 1], "item 2 is not a JSON object"),
        ("text", "item 1 is not a JSON object"),
        ([OPEN_ITEM], "item 1 has no channel, and none is given"),
    ],
)
def test_json_items_that_make_no_sense(value, problem):
    with pytest.raises(PublishError, match=problem):
        build("--json", json.dumps(value))
