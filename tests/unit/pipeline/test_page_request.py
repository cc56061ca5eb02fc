"""Who may be sent elsewhere to log in, by method, scheme and Accept."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.pipeline.page_request import accepted_types, is_page_request

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def exchange(accept, method=b"GET", scheme="http"):
    headers = Headers() if accept is None else Headers([(b"Accept", accept)])
    return Exchange(RequestHead(method, b"/", headers), "r", scheme, "")


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        (b"TEXT/HTML ; q=0.1", True),
        (b"*/*", False),
        (b"text/*", False),
        (b"", False),
        (None, False),
        (b"application/json", False),
        (b"text/event-stream", False),
        (b"text/html, text/event-stream", False),
        (b"text/html;q=0, application/json", False),
        (b"text/html;q=0.000", False),
    ],
)
def test_what_is_accepted_counts_to_the_letter(accept, is_page):
    assert is_page_request(exchange(accept)) is is_page


def test_websockets_are_no_pages():
    assert is_page_request(exchange(BROWSER, b"POST", "https"))
    assert not is_page_request(exchange(BROWSER, scheme="ws"))
    assert not is_page_request(exchange(BROWSER, scheme="wss"))


def test_types_without_their_parameters():
    assert accepted_types(exchange(b"a/b;q=0.5;x=y, C/D")) == {b"a/b", b"c/d"}
