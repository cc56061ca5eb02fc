"""What is remembered of blocks of fields, how much of it, and for how long."""

import pytest

from realtime_proxy.wire import known_blocks
from realtime_proxy.wire.known_blocks import GENERATION_SECONDS, MAX_BLOCK_BYTES, KnownBlocks


def come(known, block, value):
    """What a reader does with a block; tells what was known of it."""
    if (found := known.get(block)) is None and known.is_back(block):
        known.keep(block, value)
    return found


def test_a_block_is_kept_when_it_comes_again():
    known = KnownBlocks()
    assert [come(known, b"A: b\r\n\r\n", number) for number in range(4)] == [None, None, 1, 1]
    assert come(known, b"A: c\r\n\r\n", 5) is None


def test_blocks_that_come_once_are_not_kept():
    known = KnownBlocks()
    for number in range(10_000):
        come(known, b"A: %d\r\n" % number, number)
    assert len(known) == 0


def test_long_blocks_are_not_kept():
    known = KnownBlocks()
    for _ in range(3):
        assert come(known, b"A" * MAX_BLOCK_BYTES, 1) in (None, 1)
        assert come(known, b"A" * (MAX_BLOCK_BYTES + 1), 1) is None
    assert len(known) == 1


@pytest.mark.parametrize("block", [b"A: %d\r\n\r\n", b"A: %d\r\n" + 60 * b"B: c\r\n"])
def test_blocks_are_bounded_in_number_and_bytes(block):
    known = KnownBlocks()
    for number in range(3_000):
        known.keep(block % number, number)
        assert len(known) <= 2 * known_blocks._MAX_BLOCKS
        size = sum(map(len, (*known._younger, *known._older)))
        assert size <= 2 * known_blocks._MAX_BYTES
    assert known.get(block % 2_999) == 2_999
    assert known.get(block % 0) is None


def test_many_fields_count_more_than_few():
    few, many = KnownBlocks(), KnownBlocks()
    for number in range(1_000):
        few.keep(b"%0500d" % number, 1)
        many.keep(b"%04d" % number + b"A:\r\n" * 124, 1)
    assert len(many) < len(few) / 4


def test_what_is_used_outlives_what_is_not():
    known = KnownBlocks()
    known.keep(b"used", 1)
    known.keep(b"unused", 2)
    for step in range(1, 6):
        known.age(step * GENERATION_SECONDS)
        assert known.get(b"used") == 1
    assert known.get(b"unused") is None
    assert len(known) == 1


def test_what_does_not_come_any_more_is_forgotten_in_time():
    known = KnownBlocks()
    known.age(1_000.0)
    known.keep(b"secret", 1)
    known.age(1_000.0 + GENERATION_SECONDS - 1)
    known.age(1_000.0 + GENERATION_SECONDS)
    assert known.get(b"other") is None
    assert len(known) == 1
    known.age(1_000.0 + 2 * GENERATION_SECONDS)
    assert len(known) == 0
    assert known.get(b"secret") is None


def test_all_can_be_forgotten():
    known = KnownBlocks()
    known.keep(b"older", 1)
    known.age(GENERATION_SECONDS)
    known.keep(b"younger", 2)
    known.forget()
    assert len(known) == 0
    assert known.get(b"older") is known.get(b"younger") is None
