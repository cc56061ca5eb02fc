import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.wire.deflate import (
    MAX_BYTES_AT_ONCE,
    MIN_BYTES,
    PIECE_BYTES,
    Deflater,
    inflate,
)

WINDOWS = [9, 15]
TEXT = b"".join(b'{"number": %d, "name": "somebody"}\n' % number for number in range(50_000))
LIMIT = len(TEXT)


def deflated(content, flush=zlib.Z_SYNC_FLUSH, level=6):
    """As another implementation does it."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compressor.compress(content) + compressor.flush(flush))[:-4]


# -- deflating -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", WINDOWS)
def test_messages_stand_for_themselves(bits):
    deflater = Deflater(bits)
    content = TEXT[:5_000]
    first = deflater.deflate(content)
    assert [deflater.deflate(content) for _ in range(3)] == [first] * 3
    assert deflater.deflate(TEXT[5_000:9_000]) == Deflater(bits).deflate(TEXT[5_000:9_000])
    assert inflate(first, LIMIT) == content


@pytest.mark.parametrize("bits", WINDOWS)
def test_the_window_is_kept(bits):
    data = Deflater(bits).deflate(TEXT[:100_000])
    inflater = zlib.decompressobj(-bits)
    assert inflater.decompress(data + b"\x00\x00\xff\xff") == TEXT[:100_000]
    if bits < 15:
        with pytest.raises(zlib.error):  # as it would be with a larger one
            zlib.decompressobj(-bits).decompress(Deflater(15).deflate(TEXT[:100_000]))


@pytest.mark.parametrize("size", [0, MIN_BYTES - 1, MAX_BYTES_AT_ONCE + 1])
def test_what_goes_as_it_is(size):
    assert Deflater(15).deflate(TEXT[:size]) is None


def test_what_does_not_become_smaller_goes_as_it_is():
    noise = random.Random(1).randbytes(PIECE_BYTES + 1)
    deflater = Deflater(15)
    assert deflater.deflate(noise) is None
    assert len(list(deflater.by_pieces(noise))) == 2
    assert deflater.deflate_once(noise) is None


def test_the_same_content_is_deflated_once():
    deflater = Deflater(15)
    content = TEXT[:1_000]
    data = deflater.deflate_once(content)
    assert deflater.deflate_once(content) is data
    assert deflater.deflate(TEXT[:2_000]) != data
    assert deflater.deflate_once(content) is data
    assert deflater.deflate_once(TEXT[:2_000]) == deflater.deflate(TEXT[:2_000])


def test_large_content_is_deflated_by_pieces_with_others_between():
    deflater = Deflater(15)
    pieces = 0
    for _ in deflater.by_pieces(TEXT):
        pieces += 1
        assert inflate(deflater.deflate(TEXT[:3_000]), LIMIT) == TEXT[:3_000]
    assert pieces == -(-len(TEXT) // PIECE_BYTES)
    assert inflate(deflater.deflate_once(TEXT), LIMIT) == TEXT
    assert list(deflater.by_pieces(TEXT)) == []


def test_small_content_has_no_pieces():
    assert list(Deflater(15).by_pieces(TEXT[:PIECE_BYTES])) == []


@given(
    st.lists(st.binary(min_size=MIN_BYTES, max_size=2_000), max_size=5), st.sampled_from(WINDOWS)
)
def test_any_content(contents, bits):
    deflater = Deflater(bits)
    for content in contents:
        data = deflater.deflate(content)
        assert data is None or inflate(data, 2_000) == content


# -- inflating -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size", [0, 1, 1_000, 70_000])
def test_what_others_deflate(level, size):
    assert inflate(deflated(TEXT[:size], level=level), LIMIT) == TEXT[:size]


@pytest.mark.parametrize("size", [0, 1, 1_000])
def test_no_more_than_the_limit(size):
    assert inflate(deflated(TEXT[:size]), size) == TEXT[:size]
    assert inflate(deflated(TEXT[: size + 1]), size) is None


def test_a_bomb_costs_no_more_than_the_limit(monkeypatch):
    bomb = deflated(bytes(100_000_000), level=9)
    made = []

    class Spy:
        def __init__(self, bits):
            self.inflater = zlib_decompressobj(bits)

        def __getattr__(self, name):
            return getattr(self.inflater, name)

        def decompress(self, data, max_length):
            content = self.inflater.decompress(data, max_length)
            made.append(len(content))
            return content

    zlib_decompressobj = zlib.decompressobj
    monkeypatch.setattr("realtime_proxy.wire.deflate.zlib.decompressobj", Spy)
    assert inflate(bomb, 1_000) is None
    assert sum(made) == 1_001


@pytest.mark.parametrize(
    "data",
    [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",  # RFC 7692 7.2.3.1
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",  # 7.2.3.3, a block without compression
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",  # 7.2.3.4, a block marked as the last
        b"\xf3\x48\xcd\xc9\xc9\x07\x00",  # the same without the empty block
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",  # 7.2.3.5, two blocks
    ],
)
def test_examples_of_the_standard(data):
    assert inflate(data, 5) == b"Hello"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        b"not deflated",
        b"\xf2\x00\x11\x00\x00",  # RFC 7692 7.2.3.2: it refers to the message before
        b"\xf3\x48\xcd\xc9\xc9\x07\x00" * 2,  # more behind the last block
        b"\x03\x00" * 100_000,
    ],
)
def test_what_is_no_deflated_message(data):
    with pytest.raises(ValueError, match=r".+"):
        inflate(data, 1_000)


@given(st.binary(max_size=60))
def test_anything_is_inflated_or_refused(data):
    try:
        content = inflate(data, 50)
    except ValueError:
        return
    assert content is None or len(content) <= 50
