"""Integers and base64 as GRIP reads them."""

import base64
import math

import pytest

from realtime_proxy.grip.lenient import lenient_base64, lenient_integer, parse_integer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"007", 7),
        (b" 5 ", 5),
        (b"+5", 5),
        (b"-5", -5),
        (b"2147483647", 2147483647),
        (b"2147483648", None),
        (b"-2147483648", None),
        (b"9" * 5000, None),
        (b"", None),
        (b"5.0", None),
        (b"1_0", None),
        (b"0x5", None),
        ("\u0665".encode(), None),
        (b"- 5", None),
    ],
)
def test_parse_integer(text, number):
    assert parse_integer(text) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        (-5, -5),
        (10**30, 10**30),
        (5.9, 5),
        (-5.9, -5),
        ("202", 202),
        (b"202", 202),
        ("4294968296", 4294968296),
        ("soon", 0),
        (b"", 0),
        ("5.9", 0),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
        (math.inf, None),
        (math.nan, None),
    ],
)
def test_lenient_integer(value, number):
    assert lenient_integer(value) == number


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("", b""),
        ("AAE=", b"\x00\x01"),
        ("AAE", b"\x00\x01"),
        ("A A\nE=", b"\x00\x01"),
        ("*AéA-E_", b"\x00\x01"),
        ("AA=E", b"\x00\x01"),
        ("AAEA=", b"\x00\x01\x00"),
        ("AAEAA", b"\x00\x01\x00"),
        ("A", b""),
        ("====", b""),
    ],
)
def test_lenient_base64(text, raw):
    assert lenient_base64(text) == raw


def test_proper_base64_is_read_as_ever():
    raw = bytes(range(256))
    assert lenient_base64(base64.b64encode(raw).decode()) == raw
