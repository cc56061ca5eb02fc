import pytest

from realtime_proxy.model.headers import HOP_BY_HOP, Headers, as_headers

HEADERS = Headers(
    [
        (b"Accept", b"text/plain"),
        (b"X-Many", b"one, Two ,, "),
        (b"x-many", b"three"),
        (b"Empty", b""),
    ]
)


def test_the_first_value_is_found_whatever_the_case():
    assert HEADERS.get(b"x-many") == b"one, Two ,, "
    assert HEADERS.get(b"accept") == b"text/plain"
    assert HEADERS.get(b"absent") is None


def test_all_values_come_in_the_order_of_their_lines():
    assert HEADERS.get_all(b"x-many") == [b"one, Two ,, ", b"three"]
    assert HEADERS.get_all(b"absent") == []


def test_an_empty_field_is_there():
    assert HEADERS.has(b"empty")
    assert not HEADERS.has(b"absent")


def test_tokens_are_lowered_stripped_and_never_empty():
    assert HEADERS.tokens(b"x-many") == [b"one", b"two", b"three"]
    assert HEADERS.tokens(b"empty") == []


def test_copies_lack_what_they_are_to_lack_and_leave_the_original():
    assert HEADERS.without({b"x-many", b"empty"}) == [(b"Accept", b"text/plain")]
    assert HEADERS.without_prefix(b"x-") == [(b"Accept", b"text/plain"), (b"Empty", b"")]
    assert isinstance(HEADERS.without(()), Headers)
    assert len(HEADERS) == 4


def test_a_replaced_field_has_one_value_at_the_end_in_the_case_as_written():
    replaced = HEADERS.replaced(b"X-MANY", b"only")
    assert replaced == [(b"Accept", b"text/plain"), (b"Empty", b""), (b"X-MANY", b"only")]


@pytest.mark.parametrize(
    ("connection", "extra"),
    [([], set()), ([b"close"], {b"close"}), ([b"X-Mine, TE", b"Other"], {b"x-mine", b"other"})],
)
def test_connection_names_more_fields_of_this_hop(connection, extra):
    headers = Headers((b"Connection", value) for value in connection)
    assert headers.hop_by_hop() == HOP_BY_HOP | extra


def test_text_pairs_become_utf8():
    assert as_headers([("Name", "Zoë")]) == [(b"Name", b"Zo\xc3\xab")]


def test_the_size_of_fields_is_that_of_names_and_values():
    assert Headers().content_bytes() == 0
    assert Headers([(b"Name", b"value"), (b"A", b"")]).content_bytes() == 10


def test_what_goes_beyond_this_hop():
    headers = Headers(
        [(b"A", b"1"), (b"Connection", b"B"), (b"B", b"2"), (b"TE", b""), (b"C", b"")]
    )
    assert headers.end_to_end(HOP_BY_HOP) == [(b"A", b"1"), (b"C", b"")]
    assert headers.end_to_end(HOP_BY_HOP | {b"c"}) == [(b"A", b"1")]
    assert Headers([(b"C", b"")]).end_to_end(HOP_BY_HOP) == [(b"C", b"")]
