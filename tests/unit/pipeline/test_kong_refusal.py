"""Refusals as Kong words them, in the form that the client accepts."""

import json

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.kong_refusal import kong_refusal


def refusal(accept=None):
    headers = Headers() if accept is None else Headers([(b"Accept", accept)])
    return kong_refusal(RequestHead(b"GET", b"/", headers), 401, "Unauthorized", "Key")


def test_the_id_is_in_the_body_and_the_log():
    refused = refusal()
    body = json.loads(refused.response.body)
    assert body["message"] == "Unauthorized"
    assert refused.why == f"Unauthorized (request_id {body['request_id']})"
    assert refused.response.headers.get(b"www-authenticate") == b"Key"


@pytest.mark.parametrize(
    ("accept", "plain"),
    [
        (b"*/*", False),
        (b"text/plain", True),
        (b"text/plain;q=0.5, application/json", False),
        (b"application/json;q=0, text/*", True),
    ],
)
def test_text_for_those_who_prefer_it(accept, plain):
    response = refusal(accept).response
    assert response.headers.get(b"content-type").startswith(b"text/plain") == plain
