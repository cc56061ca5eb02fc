"""Header fields that come out of decoded values; the vectors have the rest of the errors."""

import pytest

from realtime_proxy.errors import GripError, PublishError
from realtime_proxy.grip.header_fields import has_control, read_header_fields


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ([], []),
        ({}, []),
        ([["B", "1"], ["A", "2"], ["b", "3"]], [(b"B", b"1"), (b"A", b"2"), (b"b", b"3")]),
        ({"B": "1", "A": "2"}, [(b"A", b"2"), (b"B", b"1")]),
        ([[b"A", b"\xff"]], [(b"A", b"\xff")]),
        ({"A": b" x\t"}, [(b"A", b"x")]),
        (
            [["A", "a\tb"], ["!#$%&'*+-.^_`|~09azAZ", ""]],
            [(b"A", b"a\tb"), (b"!#$%&'*+-.^_`|~09azAZ", b"")],
        ),
    ],
)
def test_fields(value, fields):
    assert read_header_fields(value, "x", GripError) == fields


@pytest.mark.parametrize("error", [GripError, PublishError])
def test_the_error_is_the_readers(error):
    with pytest.raises(error, match=r"^x contains 'headers' with wrong type$"):
        read_header_fields(5, "x", error)
    with pytest.raises(error, match="invalid value"):
        read_header_fields([["A", "\r\n"], ["A\n", ""]], "x", error)


def accepted(name, value):
    try:
        return read_header_fields([[name, value]], "x", GripError) == [(name, value)]
    except GripError:
        return False


def test_bytes_that_may_stand_in_values():
    """All but those that end a line, or that HTTP has no place for."""
    good = {code for code in range(256) if accepted(b"A", b"x%cx" % code)}
    assert good == {9} | (set(range(32, 256)) - {127})


def test_bytes_that_may_stand_in_names():
    good = bytes(code for code in range(256) if accepted(b"A%c" % code, b""))
    digits, letters = b"0123456789", bytes(range(65, 91)) + bytes(range(97, 123))
    assert set(good) == set(b"!#$%&'*+-.^_`|~" + digits + letters)


def test_controls():
    assert not has_control("é\t ".encode())
    assert all(has_control(b"x%c" % code) for code in (0, 10, 13, 31, 127))
