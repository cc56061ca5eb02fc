import contextlib

import pytest
import tnetstring
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import (
    BackendBlocked,
    BackendMisbehaved,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.grip.zhttp import ZhttpReply, encode_request
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead

HEAD = RequestHead(b"POST", b"/a?b", Headers([(b"Host", b"a.test:80"), (b"X", b"1")]))


def reply(**members):
    packet = {b"id": b"7", **{name.encode(): value for name, value in members.items()}}
    return ZhttpReply.parse(b"T" + tnetstring.dumps(packet))


def test_a_request_is_one_dictionary():
    message = encode_request(b"me", b"7", "https", HEAD, b"body")
    assert message.startswith(b"T")
    assert tnetstring.loads(message[1:]) == {
        b"from": b"me",
        b"id": b"7",
        b"method": b"POST",
        b"uri": b"https://a.test:80/a?b",
        b"headers": [[b"Host", b"a.test:80"], [b"X", b"1"]],
        b"body": b"body",
    }


def test_a_reply_is_a_response():
    found = reply(code=201, reason=b"Made", headers=[[b"X", b" 1 "]], body=b"body")
    assert found.id == b"7"
    response = found.response()
    assert (response.status, response.reason, response.body) == (201, b"Made", b"body")
    assert list(response.headers) == [(b"X", b"1")]


def test_most_of_a_reply_may_be_missing():
    response = reply(code=204).response()
    assert response.head().reason == b"No Content"
    assert (response.body, list(response.headers)) == (b"", [])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"J{}",
        b"T",
        b"Tnonsense",
        b"T" + tnetstring.dumps([]),
        b"T" + tnetstring.dumps({b"id": 7}),
        b"T" + tnetstring.dumps({b"code": 200}),
    ],
)
def test_what_is_no_reply(data):
    with pytest.raises(GripError):
        ZhttpReply.parse(data)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"code": b"200"},
        {"code": True},
        {"code": 101},
        {"code": 1000},
        {"code": 200, "more": True},
        {"code": 200, "body": 1},
        {"code": 200, "reason": b"a\r\nb"},
        {"code": 200, "reason": 1},
        {"code": 200, "headers": 1},
        {"code": 200, "headers": [[b"a b", b"c"]]},
        {"code": 200, "headers": [[b"a", b"c\r\nX: injected"]]},
    ],
)
def test_what_is_no_response(members):
    with pytest.raises(BackendMisbehaved):
        reply(**members).response()


@pytest.mark.parametrize(
    ("condition", "error", "status", "text"),
    [
        (b"length-required", ProtocolError, 411, "Must provide Content-Length header."),
        (b"policy-violation", BackendBlocked, 502, "Error: Origin host/IP blocked."),
        (b"remote-connection-failed", BackendUnreachable, 502, "remote-connection-failed"),
        (b"connection-timeout", BackendUnreachable, 504, "connection-timeout"),
        (b"odd \xff", BackendMisbehaved, 502, "odd \ufffd"),
        (1, BackendMisbehaved, 502, "without a condition"),
    ],
)
def test_failures(condition, error, status, text):
    with pytest.raises(error) as caught:
        reply(type=b"error", condition=condition).response()
    assert caught.value.status == status
    assert text in str(caught.value)


@given(st.binary())
def test_whatever_comes_is_taken_or_refused(data):
    with contextlib.suppress(GripError, BackendMisbehaved, BackendUnreachable, ProtocolError):
        ZhttpReply.parse(b"T" + data).response()
