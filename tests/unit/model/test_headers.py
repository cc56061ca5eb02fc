"""Header fields: order and spelling stay, names are compared without regard to case."""

from realtime_proxy.model.headers import HOP_BY_HOP, Headers, as_headers

FIELDS = Headers(
    [
        (b"Accept", b"a"),
        (b"X-One", b"1"),
        (b"ACCEPT", b" b , ,C "),
        (b"Grip-Hold", b""),
        (b"x", b""),
    ]
)


def test_values_are_found_in_any_spelling() -> None:
    assert FIELDS.get(b"accept") == b"a"
    assert FIELDS.get_all(b"accept") == [b"a", b" b , ,C "]
    assert FIELDS.get(b"missing") is None
    assert FIELDS.get_all(b"missing") == []
    assert FIELDS.has(b"grip-hold")
    assert not FIELDS.has(b"missing")


def test_tokens_are_the_elements_of_all_lines() -> None:
    assert FIELDS.tokens(b"accept") == [b"a", b"b", b"c"]
    assert FIELDS.tokens(b"x") == []


def test_copies_leave_the_original_alone() -> None:
    before = list(FIELDS)
    assert FIELDS.without({b"accept", b"x"}) == [(b"X-One", b"1"), (b"Grip-Hold", b"")]
    assert FIELDS.without_prefix(b"grip-").get(b"grip-hold") is None
    replaced = FIELDS.replaced(b"Accept", b"new")
    assert replaced == [(b"X-One", b"1"), (b"Grip-Hold", b""), (b"x", b""), (b"Accept", b"new")]
    assert isinstance(replaced, Headers)
    assert before == FIELDS


def test_a_field_that_was_not_there_is_added() -> None:
    assert Headers().replaced(b"Host", b"a") == [(b"Host", b"a")]


def test_connection_names_more_fields_of_the_hop() -> None:
    assert Headers().hop_by_hop() == HOP_BY_HOP
    named = Headers([(b"Connection", b"close, X-Mine"), (b"connection", b"x-other")])
    assert named.hop_by_hop() == HOP_BY_HOP | {b"close", b"x-mine", b"x-other"}


def test_text_becomes_bytes() -> None:
    assert as_headers([("X-Name", "Zoë")]) == [(b"X-Name", "Zoë".encode())]
