import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import ProtocolError
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_rules import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing


def read(framing, pieces):
    reader = BodyReader(framing)
    return reader, b"".join(reader.feed(piece) for piece in pieces)


# -- by length -----------------------------------------------------------------------------


def test_a_length_is_counted_and_the_rest_kept():
    reader = BodyReader(Framing(5))
    assert reader.feed(b"ab") == b"ab"
    assert not reader.complete
    assert reader.feed(b"cdefg") == b"cde"
    assert reader.complete
    assert reader.rest == b"fg"
    assert reader.feed(b"h") == b""
    assert reader.rest == b"fgh"


def test_a_length_that_is_just_met():
    reader, body = read(Framing(3), [b"abc"])
    assert (body, reader.complete, reader.rest) == (b"abc", True, b"")


def test_no_body_keeps_everything():
    reader, body = read(NO_BODY, [b"next"])
    assert (body, reader.complete, reader.rest) == (b"", True, b"next")


# -- up to the close -----------------------------------------------------------------------


def test_a_body_up_to_the_close_is_ended_by_it():
    reader, body = read(UNTIL_CLOSE, [b"ab", b"c"])
    assert body == b"abc"
    assert not reader.complete
    assert reader.end_of_input()
    assert reader.complete


@pytest.mark.parametrize(
    ("framing", "data"), [(Framing(5), b"abc"), (CHUNKED, b"3\r\nabc\r\n"), (CHUNKED, b"0\r\n")]
)
def test_the_close_does_not_end_other_bodies(framing, data):
    reader, _ = read(framing, [data])
    assert not reader.end_of_input()
    assert not reader.complete


def test_the_close_after_the_end_is_fine():
    reader, _ = read(Framing(1), [b"a"])
    assert reader.end_of_input()


# -- chunked -------------------------------------------------------------------------------

CHUNKS = b'3\r\nabc\r\n0A;name="v" ; x\r\n0123456789\r\n000\r\nA: b\r\nC:d\r\n\r\n'


def test_chunks_give_their_content_and_trailers():
    reader, body = read(CHUNKED, [CHUNKS + b"next"])
    assert body == b"abc0123456789"
    assert reader.complete
    assert reader.trailers == [(b"a", b"b"), (b"c", b"d")]
    assert reader.rest == b"next"


def test_a_part_of_a_chunk_is_given_out_at_once():
    reader = BodyReader(CHUNKED)
    assert reader.feed(b"5\r\nab") == b"ab"
    assert reader.feed(b"cde") == b"cde"
    assert not reader.complete
    assert reader.feed(b"\r\n0\r\n\r\n") == b""
    assert reader.complete


def test_no_bytes_change_nothing():
    reader = BodyReader(CHUNKED)
    assert reader.feed(b"") == b""
    assert reader.feed(CHUNKS) == b"abc0123456789"


@given(st.lists(st.integers(0, len(CHUNKS) + 4), max_size=12))
def test_chunks_split_anywhere_are_the_same(places):
    data = CHUNKS + b"next"
    edges = [0, *sorted(places), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    reader, body = read(CHUNKED, pieces)
    assert body == b"abc0123456789"
    assert reader.trailers == [(b"a", b"b"), (b"c", b"d")]
    assert reader.rest == b"next"


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1_0\r\n",
        b"\r\n",
        b";a\r\n",
        b"1" * 21 + b"\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na\r0\r\n\r\n",
        b"1;" + b"x" * 20_000,
        b"0\r\n" + b"A: " + b"b" * 20_000,
        b"0\r\nA\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(data):
    with pytest.raises(ProtocolError, match="chunked body") as caught:
        read(CHUNKED, [data])
    assert caught.value.status == 400


def test_what_passes_by_is_counted():
    reader = BodyReader(Framing(5))
    assert reader.feed(b"ab") == b"ab"
    reader.count(2)
    assert (reader.left, reader.complete) == (1, False)
    reader.count(1)
    assert (reader.left, reader.complete) == (0, True)


def test_how_much_is_left_is_known_by_length_alone():
    assert BodyReader(CHUNKED).left is None
    assert BodyReader(UNTIL_CLOSE).left is None
