"""What answers a response hold."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse
from realtime_proxy.sessions.http_response import answer_of_item

HELD = Headers([(b"Content-Type", b"text/plain"), (b"X-Held", b"1"), (b"x-both", b"held")])


def fields(*pairs):
    return Headers(pairs)


def test_item_without_fields_inherits_those_of_the_hold():
    answer = answer_of_item(HttpResponse(body=b"new"), HELD, b"old")
    assert (answer.status, answer.reason, answer.body) == (200, b"OK", b"new")
    assert answer.headers == HELD


def test_fields_of_the_item_replace_those_of_the_hold():
    item = HttpResponse(headers=fields((b"X-Both", b"a"), (b"X-Both", b"b"), (b"X-New", b"2")))
    assert answer_of_item(item, HELD, b"").headers == fields(
        (b"Content-Type", b"text/plain"),
        (b"X-Held", b"1"),
        (b"X-Both", b"a"),
        (b"X-Both", b"b"),
        (b"X-New", b"2"),
    )


@pytest.mark.parametrize(
    "name", [b"Connection", b"content-length", b"Transfer-Encoding", b"Keep-Alive", b"Grip-Hold"]
)
def test_fields_that_an_item_may_not_set(name):
    answer = answer_of_item(HttpResponse(headers=fields((name, b"x"))), HELD, b"")
    assert answer.headers == HELD


def test_exposed_fields_only():
    item = HttpResponse(
        headers=fields((b"Grip-Expose-Headers", b"X-Held, x-new"), (b"X-New", b"2"), (b"X-B", b"3"))
    )
    answer = answer_of_item(item, HELD, b"")
    assert answer.headers == fields((b"X-Held", b"1"), (b"X-New", b"2"))


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        (404, b"", b"Not Found"),
        (404, b"Gone fishing", b"Gone fishing"),
        (299, b"", b"Undefined Reason"),
    ],
)
def test_status_and_reason(status, reason, shown):
    answer = answer_of_item(HttpResponse(status=status, reason=reason), HELD, b"")
    assert (answer.status, answer.reason) == (status, shown)


def test_patch_of_the_body_that_is_held():
    patch = [{"op": "add", "path": "/b/0", "value": 1}]
    answer = answer_of_item(HttpResponse(body_patch=patch), HELD, b'{"b": [2], "a": 3}\n')
    assert answer.body == b'{"a":3,"b":[1,2]}\n'


def test_patch_that_does_not_fit():
    patch = [{"op": "remove", "path": "/none"}]
    answer = answer_of_item(HttpResponse(status=201, body_patch=patch), HELD, b"{}")
    assert (answer.status, answer.body) == (201, b"")
