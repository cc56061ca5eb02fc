"""The payloads of publish items: what each member becomes."""

import pytest

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.item_formats import (
    is_close_code,
    read_http_response,
    read_http_stream,
    read_ws_message,
)
from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    MessageType,
    WebSocketMessage,
)

READERS = [
    (read_http_response, HttpResponse),
    (read_http_stream, HttpStream),
    (read_ws_message, WebSocketMessage),
]


@pytest.mark.parametrize(("reader", "payload"), READERS)
@pytest.mark.parametrize("action", [Action.HINT, Action.REFRESH, Action.CLOSE])
def test_other_actions_need_and_read_nothing_else(reader, payload, action):
    assert reader({"action": action.value, "content": 5, "body": 5}, False) == payload(action)
    assert reader({"action": action.value.encode()}, True) == payload(action)


# -- http-response ------------------------------------------------------------------


def test_response_defaults():
    assert read_http_response({"body": "é"}, False) == HttpResponse(body="é".encode())
    assert read_http_response({"body": b"\xff"}, True) == HttpResponse(body=b"\xff")


def test_response_with_everything():
    payload = {
        "action": "send",
        "code": "202",
        "reason": "Short And Stout",
        "headers": [["X-A", "1"], ["x-a", " é\t"]],
        "content-filters": ["a", "b"],
        "body": "x",
    }
    response = read_http_response(payload, False)
    assert (response.status, response.reason, response.body) == (202, b"Short And Stout", b"x")
    assert response.headers == [(b"X-A", b"1"), (b"x-a", "é".encode())]
    assert response.content_filters == ("a", "b")
    assert response.body_patch is None


def test_response_of_a_tnetstring():
    payload = {"code": b"404", "reason": b"No", "headers": {"X": b"1"}, "body": b""}
    response = read_http_response(payload, True)
    assert (response.status, response.reason, response.body) == (404, b"No", b"")
    assert response.headers == [(b"X", b"1")]


def test_an_object_of_headers_is_sorted():
    response = read_http_response({"headers": {"B": "1", "A": "2"}, "body": ""}, False)
    assert response.headers == [(b"A", b"2"), (b"B", b"1")]


@pytest.mark.parametrize(
    ("members", "body", "patch"),
    [
        ({"body-bin": "AAE=", "body": 5, "body-patch": 5}, b"\x00\x01", None),
        ({"body": "x", "body-patch": 5}, b"x", None),
        ({"body": "", "body-patch": []}, b"", None),
        ({"body-patch": []}, b"", []),
        ({"body-patch": [{"op": "x"}]}, b"", [{"op": "x"}]),
    ],
)
def test_which_body_counts(members, body, patch):
    response = read_http_response(members, False)
    assert (response.body, response.body_patch) == (body, patch)


def test_a_patch_of_a_tnetstring_becomes_text():
    patch = [{"op": b"add", "path": b"/a", "value": [b"x", 1, {"k": b"v"}, None]}]
    response = read_http_response({"body-patch": patch}, True)
    assert response.body_patch == [{"op": "add", "path": "/a", "value": ["x", 1, {"k": "v"}, None]}]


def test_a_patch_of_bytes_that_are_no_text():
    with pytest.raises(PublishError, match="'body-patch' with invalid value"):
        read_http_response({"body-patch": [b"\xff"]}, True)


def test_base64_is_for_json_only():
    with pytest.raises(PublishError, match="does not contain 'body'"):
        read_http_response({"body-bin": b"AAE="}, True)
    with pytest.raises(PublishError, match=r"does not contain 'content'$"):
        read_http_stream({"content-bin": b"AAE="}, True)


# -- http-stream ----------------------------------------------------------------------


def test_stream_content():
    assert read_http_stream({"content": ""}, False) == HttpStream(content=b"")
    assert read_http_stream({"content": b"\xff"}, True) == HttpStream(content=b"\xff")
    assert read_http_stream({"content-bin": "_AAE", "content": 5}, False).content == b"\x00\x01"


def test_content_filters_may_be_none_or_empty():
    assert read_http_stream({"content": "x"}, False).content_filters is None
    assert read_http_stream({"content": "x", "content-filters": []}, False).content_filters == ()
    assert read_http_stream({"content": b"x", "content-filters": [b"a"]}, True).content_filters == (
        "a",
    )


def test_names_that_are_not_utf8_have_the_wrong_type():
    with pytest.raises(PublishError, match="content-filters contains element with wrong type"):
        read_http_stream({"content": b"x", "content-filters": [b"\xff"]}, True)
    with pytest.raises(PublishError, match="'reason' with wrong type"):
        read_ws_message({"action": b"close", "reason": b"\xff"}, True)


# -- ws-message -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "binary", "kind", "content"),
    [
        ({"content": "é"}, False, MessageType.TEXT, "é".encode()),
        ({"content": ""}, False, MessageType.TEXT, b""),
        ({"content-bin": "/w==", "content": 5}, False, MessageType.BINARY, b"\xff"),
        ({"content-bin": b"\xff"}, True, MessageType.BINARY, b"\xff"),
        ({"content-bin": "eA==", "type": "text"}, False, MessageType.TEXT, b"x"),
        ({"content": b"\xff", "type": b"binary"}, True, MessageType.BINARY, b"\xff"),
        ({"type": "ping"}, False, MessageType.PING, b""),
        ({"type": "pong", "content": "p"}, False, MessageType.PONG, b"p"),
        ({"type": "ping", "content": "x" * 125}, False, MessageType.PING, b"x" * 125),
    ],
)
def test_message(payload, binary, kind, content):
    message = read_ws_message(payload, binary)
    assert (message.type, message.content) == (kind, content)


def test_text_must_be_utf8():
    with pytest.raises(PublishError, match="not UTF-8"):
        read_ws_message({"content": b"\xff"}, True)


@pytest.mark.parametrize(
    ("members", "code", "reason"),
    [
        ({}, None, ""),
        ({"code": 0}, None, ""),
        ({"code": "none"}, None, ""),
        ({"code": 4123, "reason": "kicked"}, 4123, "kicked"),
        ({"code": "1000", "reason": "x" * 123}, 1000, "x" * 123),
        ({"reason": "only"}, None, "only"),
    ],
)
def test_close(members, code, reason):
    message = read_ws_message({"action": "close", **members}, False)
    assert (message.action, message.close_code, message.close_reason) == (
        Action.CLOSE,
        code,
        reason,
    )


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_be_sent(code):
    assert is_close_code(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536])
def test_codes_that_may_not(code):
    assert not is_close_code(code)
