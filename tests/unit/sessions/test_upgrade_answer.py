"""What a client is shown of a backend's answer to its upgrade request."""

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.sessions.upgrade_answer import NOT_ACCEPTED, acceptance, own_refusal, refusal

FIELDS = [
    (b"Connection", b"Upgrade, X-Hop"),
    (b"Upgrade", b"websocket"),
    (b"X-Hop", b"1"),
    (b"Sec-WebSocket-Accept", b"x"),
    (b"Sec-WebSocket-Extensions", b"grip"),
    (b"Content-Length", b"2"),
    (b"Content-Type", b"text/plain"),
    (b"Set-Cookie", b"a=b"),
]
KEPT = [(b"Content-Type", b"text/plain"), (b"Set-Cookie", b"a=b")]
EXTENSION = (b"Sec-WebSocket-Extensions", b"grip")


def test_acceptance_has_what_is_not_of_the_backends_hop():
    assert acceptance(Headers(FIELDS), NOT_ACCEPTED, shows_extensions=False).headers == KEPT


def test_acceptance_with_extensions_for_who_follows_grip_itself():
    accepts = acceptance(Headers(FIELDS), NOT_ACCEPTED, shows_extensions=True)
    assert accepts.headers == [*KEPT, EXTENSION]


def test_acceptance_has_no_extension_of_the_backends_hop():
    fields = Headers([(b"Sec-WebSocket-Extensions", b"permessage-deflate, grip")])
    assert acceptance(fields, NOT_ACCEPTED, shows_extensions=True).headers == [EXTENSION]


def test_acceptance_without_what_is_hidden():
    accepts = acceptance(Headers(FIELDS), NOT_ACCEPTED | {b"content-type"}, shows_extensions=False)
    assert accepts.headers == [(b"Set-Cookie", b"a=b")]


def test_refusal_is_the_backends():
    refused = refusal(ResponseHead(403, b"No", Headers(FIELDS)), b"no")
    assert (refused.head.status, refused.head.reason, refused.body) == (403, b"No", b"no")
    assert refused.head.headers == [(b"Content-Length", b"2"), *KEPT]


def test_refusal_of_our_own_has_no_type():
    refused = own_refusal(ResponseHead(502, b"Bad Gateway", Headers(FIELDS[-2:])), b"x")
    assert refused.head.headers == [(b"Set-Cookie", b"a=b")]
