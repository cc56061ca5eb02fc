import json

import pytest

from realtime_proxy.demo.publish_form import MAX_MESSAGE_BYTES, demo_item, item_from_form
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"


def request(kind=FORM, **fields):
    headers = Headers([(b"Host", b"Example.com:7999")])
    if kind is not None:
        headers.append((b"Content-Type", kind))
    headers.extend((name.encode(), value) for name, value in fields.items())
    return RequestHead(b"POST", b"/demo/publish", headers)


def refusal(body, head=None):
    with pytest.raises(ProtocolError) as error:
        item_from_form(head or request(), body)
    return error.value.status


def test_item_has_all_three_formats():
    item = demo_item(b"a\nb")
    assert (item.channel, item.id, item.meta) == ("demo", None, {})
    assert item.http_stream.content == b"data: a\ndata: b\n\n"
    assert item.ws_message.content == b"a\nb"
    assert item.http_response.body == b"a\nb\n"
    assert item.http_response.headers.get(b"content-type") == b"text/plain; charset=utf-8"
    assert item.http_response.headers.get(b"x-content-type-options") == b"nosniff"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"message=h%C3%A9+you&x=y"),
        (FORM + b"; charset=UTF-8", b"x=&message=h%C3%A9%20you&message=other"),
        (b"Application/JSON", json.dumps({"message": "hé you"}).encode()),
        (JSON, '{"message": "hé you", "x": 1}'.encode()),
    ],
)
def test_forms_and_json(kind, body):
    assert item_from_form(request(kind), body) == demo_item("hé you".encode())


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (None, b"message=x", 415),
        (b"text/plain", b'{"message": "x"}', 415),
        (b"multipart/form-data; boundary=b", b"", 415),
        (FORM, b"", 400),
        (FORM, b"message=", 400),
        (FORM, b"\xff", 400),
        (FORM, b"a=1&" * 17 + b"message=x", 400),
        (JSON, b"", 400),
        (JSON, b"[1]", 400),
        (JSON, b'{"message": 1}', 400),
        (JSON, b'{"message": ""}', 400),
        (JSON, b"\xff", 400),
        (JSON, b"[" * 16_000, 400),
    ],
)
def test_nonsense(kind, body, status):
    assert refusal(body, request(kind)) == status


def test_lone_surrogate():
    assert item_from_form(request(JSON), b'{"message": "a\\ud800"}') == demo_item(b"a?")


def test_size_is_bounded():
    longest = b"x" * MAX_MESSAGE_BYTES
    assert item_from_form(request(), b"message=" + longest) == demo_item(longest)
    assert refusal(b"message=" + longest + b"x") == 413
    assert refusal(b"message=" + longest + b"&x=" + longest * 4) == 413


@pytest.mark.parametrize("origin", [b"http://example.com:7999", b"https://EXAMPLE.com:7999", None])
def test_own_origin_and_none(origin):
    head = request(Origin=origin) if origin else request()
    assert item_from_form(head, b"message=x")


@pytest.mark.parametrize(
    "origin",
    [b"http://evil.com", b"http://example.com", b"null", b"", b"http://example.com:7999.evil.com"],
)
def test_foreign_origin(origin):
    assert refusal(b"message=x", request(Origin=origin)) == 403
