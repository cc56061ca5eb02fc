"""Refusals as JSON, by a challenge and by redirects: who gets which."""

import json

import pytest

from realtime_proxy.pipeline import Exchange, Headers, RequestHead
from realtime_proxy.pipeline.error_forms import ErrorForms

PAGE = "text/html,*/*;q=0.8"


def exchange(accept="*/*", scheme="https"):
    fields = [(b"Host", b"site.test"), (b"Accept", accept.encode())]
    return Exchange(RequestHead(b"GET", b"/a?b=c", Headers(fields)), "r", scheme, "")


def unauthorized(forms, *args, **kwargs):
    refusal = forms.unauthorized(exchange(*args, **kwargs), "No", "for the log")
    assert refusal.why == "for the log"
    return refusal.response


def test_json_says_what_was_wrong_if_it_may():
    response = unauthorized(ErrorForms())
    assert response.status == 401
    assert response.headers == [(b"Content-Type", b"application/json")]
    assert json.loads(response.body) == {
        "error": {"code": 401, "status": "Unauthorized", "message": "No"}
    }
    quiet = ErrorForms(verbose=False).json(429, "No", "why", [(b"Retry-After", b"3")]).response
    assert (quiet.status, quiet.headers.get(b"retry-after")) == (429, b"3")
    assert json.loads(quiet.body) == {"error": {"code": 429, "status": "Too Many Requests"}}


@pytest.mark.parametrize("scheme", ["http", "wss"])
def test_a_challenge(scheme):
    forms = ErrorForms(realm="Please authenticate.")
    response = unauthorized(forms, PAGE, scheme)
    assert response.status == 401
    assert response.headers == [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"WWW-Authenticate", b'Basic realm="Please authenticate."'),
    ]
    assert response.body == b"Unauthorized\n"
    assert (forms.challenge, ErrorForms().challenge) == ('Basic realm="Please authenticate."', "")


@pytest.mark.parametrize("realm", ["", "site"])
@pytest.mark.parametrize("status", [301, 302])
def test_only_pages_are_sent_to_the_login(status, realm):
    forms = ErrorForms("/login?a=b", status, "return_to", realm)
    response = unauthorized(forms, PAGE)
    assert (response.status, response.body) == (status, b"")
    way_back = b"https%3A%2F%2Fsite.test%2Fa%3Fb%3Dc"
    assert response.headers == [(b"Location", b"/login?a=b&return_to=" + way_back)]
    for accept, scheme in [("*/*", "https"), ("text/event-stream", "https"), (PAGE, "wss")]:
        response = unauthorized(forms, accept, scheme)
        assert (response.status, response.headers.has(b"location")) == (401, False)
        assert response.headers.has(b"www-authenticate") == bool(realm)


def test_the_login_alone():
    response = unauthorized(ErrorForms("https://login.test/"), PAGE)
    assert response.headers == [(b"Location", b"https://login.test/")]
