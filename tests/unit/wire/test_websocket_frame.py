import pytest
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from realtime_proxy.wire.websocket_frame import (
    Opcode,
    encode_close,
    encode_deflated,
    encode_frame,
    masked,
    parse_close,
    sent_frames,
)
from realtime_proxy.wire.websocket_reader import FrameReader, Message, PeerClosed

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def read(data):
    return FrameReader(100_000).feed(data)


def to_client(data):
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_read_by_a_client(size):
    [text] = to_client(encode_frame(Opcode.TEXT, b"x" * size))
    assert text == events.TextMessage(data="x" * size)
    [binary] = to_client(encode_frame(Opcode.BINARY, b"\xff" * size))
    assert binary == events.BytesMessage(data=b"\xff" * size)


def test_control_frames_are_read_by_a_client():
    assert to_client(encode_frame(Opcode.PING, b"a" * 125)) == [events.Ping(payload=b"a" * 125)]
    assert to_client(encode_frame(Opcode.PONG, b"")) == [events.Pong(payload=b"")]


@pytest.mark.parametrize("size", [126, 70_000])
def test_a_control_frame_is_cut_to_what_fits(size):
    assert to_client(encode_frame(Opcode.PING, b"a" * size)) == [events.Ping(payload=b"a" * 125)]


@pytest.mark.parametrize(
    ("code", "reason", "code_read", "reason_read"),
    [
        (1000, "bye", 1000, "bye"),
        (4999, "", 4999, ""),
        (None, "", 1005, None),
        (None, "not without a code", 1005, None),
        (1001, "a" * 123, 1001, "a" * 123),
        (1001, "a" * 124, 1001, "a" * 123),
        (1001, "a" * 122 + "\u20ac", 1001, "a" * 122),
        (1001, "\u20ac" * 100, 1001, "\u20ac" * 41),
    ],
)
def test_a_close_is_cut_to_what_fits(code, reason, code_read, reason_read):
    [closed] = to_client(encode_close(code, reason))
    assert isinstance(closed, events.CloseConnection)
    assert (closed.code, closed.reason or None) == (code_read, reason_read or None)


@pytest.mark.parametrize("size", SIZES)
def test_masked_frames_are_those_of_a_client(size):
    content = bytes(at & 0xFF for at in range(size))
    assert read(masked(encode_frame(Opcode.BINARY, content))) == [Message(Opcode.BINARY, content)]


def test_masks_differ():
    frames = {masked(encode_frame(Opcode.BINARY, bytes(8))) for _ in range(10)}
    assert len(frames) == 10


def test_close_is_masked_too():
    assert read(masked(encode_close(4001, "x"))) == [PeerClosed(4001, "x")]
    assert read(masked(encode_close(None))) == [PeerClosed(None, "")]


@pytest.mark.parametrize("size", SIZES)
def test_a_deflated_message_has_the_first_reserved_bit(size):
    plain = encode_frame(Opcode.BINARY, bytes(size))
    assert encode_deflated(Opcode.BINARY, bytes(size)) == b"\xc2" + plain[1:]


def test_frames_of_our_own_are_taken_apart():
    frames = [(Opcode.TEXT, b"x" * size) for size in SIZES] + [(Opcode.PING, b"p")]
    assert list(sent_frames(b"".join(encode_frame(*frame) for frame in frames))) == frames


@pytest.mark.parametrize("close", [(None, ""), (1000, ""), (3456, "ö" * 61)])
def test_closes_of_our_own_are_taken_apart(close):
    [(opcode, content)] = sent_frames(encode_close(*close))
    assert opcode == Opcode.CLOSE
    assert parse_close(content) == close
