"""Consumers as they are kept, and go between processes."""

import msgspec
import pytest

from realtime_proxy.model.consumer_record import (
    ConsumerRecord,
    GroupRecord,
    JwtRecord,
    KeyRecord,
    decode_record,
    encode_record,
)


def test_a_record_comes_back_as_it_was():
    record = ConsumerRecord(
        "1",
        5,
        "alice",
        tags=("a",),
        keys=(KeyRecord("2", "k", 6, 60),),
        jwt=(JwtRecord("3", "iss", 7, secret="s"),),
        groups=(GroupRecord("4", "staff", 8),),
    )
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("data", [b"no record", b"{}", b'{"id": "\xff", "created_at": 1}'])
def test_what_is_no_record(data):
    with pytest.raises(msgspec.DecodeError):
        decode_record(data)
