"""What of a message's trailer fields is passed on."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.trailers import trailer_fields


@pytest.mark.parametrize(
    "name",
    [
        b"X-Consumer-ID",
        b"Grip-Sig",
        b"X-Forwarded-For",
        b"eb9bf0f5-X",
        b"CDN-Loop",
        b"Pushpin-Route",
        b"Content-Length",
        b"Transfer-Encoding",
    ],
)
def test_trailers_can_not_say_what_fields_may_not(name: bytes) -> None:
    trailers = Headers([(name, b"1"), (b"Checksum", b"abc")])
    assert trailer_fields(trailers, frozenset({b"x-consumer-id"})) == [(b"Checksum", b"abc")]
