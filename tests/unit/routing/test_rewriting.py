"""What of a request's header fields gets past the door."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.rewriting import inbound_headers, trailer_fields

NOTHING = frozenset[bytes]()


def names(fields: list[tuple[bytes, bytes]], *, trusted: bool = False) -> list[bytes]:
    dropped = frozenset({b"x-consumer-id", b"x_consumer_id"})
    return [name for name, _ in inbound_headers(Headers(fields), dropped, trusted=trusted)]


def test_ordinary_fields_pass_in_their_order_and_spelling() -> None:
    fields = [(b"Host", b"a"), (b"X-One", b"1"), (b"x-one", b"2"), (b"Upgrade", b"websocket")]
    assert inbound_headers(Headers(fields), NOTHING, trusted=False) == fields


@pytest.mark.parametrize("name", [b"X-Consumer-ID", b"x_consumer_id", b"X_CONSUMER_ID"])
def test_what_only_handlers_may_say_is_dropped_even_from_the_trusted(name: bytes) -> None:
    assert names([(name, b"root"), (b"Accept", b"a")]) == [b"Accept"]
    assert names([(name, b"root")], trusted=True) == []


def test_grip_fields_stay_only_from_the_trusted() -> None:
    fields = [(b"Grip-Sig", b"token"), (b"GRIP-Last", b"a"), (b"Gripped", b"b")]
    assert names(fields) == [b"Gripped"]
    assert names(fields, trusted=True) == [b"Grip-Sig", b"GRIP-Last", b"Gripped"]


def test_what_connection_names_is_dropped() -> None:
    fields = [(b"Connection", b"close, X-Mine"), (b"X-MINE", b"1"), (b"X-Other", b"2")]
    assert names(fields) == [b"Connection", b"X-Other"]


def test_connection_can_not_take_the_end_of_a_message_away() -> None:
    fields = [(b"Connection", b"Content-Length, Host"), (b"Host", b"a"), (b"Content-Length", b"5")]
    assert names(fields) == [b"Connection", b"Host", b"Content-Length"]


@pytest.mark.parametrize(
    "name",
    [b"X-Consumer-ID", b"Grip-Sig", b"X-Forwarded-For", b"Content-Length", b"Transfer-Encoding"],
)
def test_trailers_can_not_say_what_fields_may_not(name: bytes) -> None:
    trailers = Headers([(name, b"1"), (b"Checksum", b"abc")])
    assert trailer_fields(trailers, frozenset({b"x-consumer-id"})) == [(b"Checksum", b"abc")]
