import itertools
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from realtime_proxy.wire.websocket_frame import Opcode
from realtime_proxy.wire.websocket_reader import FrameReader, Message, PeerClosed, PeerFailed

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
LIMIT = 100_000
MASK = b"\x01\x80\xff\x5a"


def from_client(*messages):
    """What a real client sends for these wsproto events."""
    client = Connection(ConnectionType.CLIENT)
    return b"".join(bytes(client.send(message)) for message in messages)


def frame(first, content=b"", *, length=None, masked=True):
    """A frame by hand, so that it can be wrong. `length` is written as given."""
    if length is None:
        size = len(content)
        length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    if not masked:
        return bytes((first,)) + length + content
    mixed = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(content))
    return bytes((first, length[0] | 0x80)) + length[1:] + MASK + mixed


def read(data, limit=LIMIT):
    return FrameReader(limit).feed(data)


def read_in_pieces(data, places, limit=LIMIT):
    reader = FrameReader(limit)
    edges = [0, *sorted(places), len(data)]
    return [
        found for start, end in itertools.pairwise(edges) for found in reader.feed(data[start:end])
    ]


# -- reading: what a client may send -------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_all_sizes(size):
    sent = from_client(
        events.TextMessage(data="x" * size), events.BytesMessage(data=b"\xff" * size)
    )
    assert read(sent) == [
        Message(Opcode.TEXT, b"x" * size),
        Message(Opcode.BINARY, b"\xff" * size),
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("places", [range(1, 15), [1], [3], [9], [-1]])
def test_messages_of_all_sizes_in_pieces(size, places):
    sent = from_client(events.BytesMessage(data=b"\xff" * size), events.TextMessage(data="next"))
    places = [place % len(sent) for place in places]
    assert read_in_pieces(sent, places) == [
        Message(Opcode.BINARY, b"\xff" * size),
        Message(Opcode.TEXT, b"next"),
    ]


@pytest.mark.parametrize("size", [0, 1, 125])
def test_pings_and_pongs(size):
    payload = bytes(range(size))
    sent = from_client(events.Ping(payload=payload), events.Pong(payload=payload))
    assert read(sent) == [Message(Opcode.PING, payload), Message(Opcode.PONG, payload)]


def test_a_fragmented_message_with_control_frames_between():
    sent = from_client(
        events.TextMessage(data="h\u00e9", message_finished=False),
        events.Ping(payload=b"1"),
        events.TextMessage(data="", message_finished=False),
        events.Pong(payload=b"2"),
        events.TextMessage(data="llo", message_finished=True),
        events.BytesMessage(data=b"next"),
    )
    assert read(sent) == [
        Message(Opcode.PING, b"1"),
        Message(Opcode.PONG, b"2"),
        Message(Opcode.TEXT, "h\u00e9llo".encode()),
        Message(Opcode.BINARY, b"next"),
    ]


def test_a_character_may_be_cut_by_a_fragment():
    first, second = "\u20ac".encode()[:1], "\u20ac".encode()[1:]
    assert read(frame(0x01, first) + frame(0x80, second)) == [
        Message(Opcode.TEXT, "\u20ac".encode())
    ]


def test_fragments_without_content_cost_nothing():
    reader = FrameReader(LIMIT)
    reader.feed(frame(0x02))
    reader.feed(frame(0x00) * 1_000)
    assert reader.feed(frame(0x80, b"x")) == [Message(Opcode.BINARY, b"x")]


@pytest.mark.parametrize(
    ("sent", "closed"),
    [
        (events.CloseConnection(code=1000, reason="bye \u20ac"), PeerClosed(1000, "bye \u20ac")),
        (events.CloseConnection(code=4999), PeerClosed(4999, "")),
        (events.CloseConnection(code=CloseReason.NO_STATUS_RCVD), PeerClosed(None, "")),
    ],
)
def test_a_close_is_the_last_thing(sent, closed):
    reader = FrameReader(LIMIT)
    assert reader.feed(from_client(sent) + frame(0x81, b"late")) == [closed]
    assert reader.feed(frame(0x81, b"later")) == []
    assert not reader.is_idle


def test_a_close_between_fragments():
    sent = from_client(
        events.TextMessage(data="a", message_finished=False), events.CloseConnection(code=1001)
    )
    assert read(sent) == [PeerClosed(1001, "")]


def test_a_reader_is_idle_between_messages_only():
    reader = FrameReader(LIMIT)
    assert reader.is_idle
    reader.feed(frame(0x81, b"abc")[:4])
    assert not reader.is_idle
    reader.feed(frame(0x81, b"abc")[4:])
    assert reader.is_idle
    reader.feed(frame(0x01, b"abc"))
    assert not reader.is_idle
    reader.feed(frame(0x80, b"abc"))
    assert reader.is_idle


# -- reading: what a client may not send ---------------------------------------------------

PROTOCOL = 1002
FAILURES = {
    "unmasked": (1002, frame(0x81, b"a", masked=False)),
    "unmasked and empty": (1002, frame(0x81, masked=False)),
    "unmasked ping": (1002, frame(0x89, masked=False)),
    "first reserved bit": (1002, frame(0xC1, b"a")),
    "second reserved bit": (1002, frame(0xA1, b"a")),
    "third reserved bit": (1002, frame(0x91, b"a")),
    "reserved bit of a ping": (1002, frame(0xC9, b"a")),
    "unknown data frame": (1002, frame(0x83, b"a")),
    "unknown control frame": (1002, frame(0x8B, b"a")),
    "continuation of nothing": (1002, frame(0x80, b"a")),
    "text within a fragmented message": (1002, frame(0x01, b"a") + frame(0x81, b"b")),
    "binary within a fragmented message": (1002, frame(0x02, b"a") + frame(0x82, b"b")),
    "fragmented ping": (1002, frame(0x09, b"a")),
    "long ping": (1002, frame(0x89, b"a" * 126)),
    "long close": (1002, frame(0x88, b"\x03\xe8" + b"a" * 124)),
    "two bytes of length where none is needed": (1002, frame(0x81, b"a", length=b"\x7e\0\1")),
    "eight bytes where two do": (
        1002,
        frame(0x82, b"a" * 126, length=b"\x7f" + b"\0" * 7 + b"\x7e"),
    ),
    "ping with bytes of length": (1002, frame(0x89, b"a", length=b"\x7e\0\1")),
    "bad UTF-8": (1007, frame(0x81, b"\xff")),
    "UTF-8 that ends too soon": (1007, frame(0x81, b"\xe2\x82")),
    "surrogate": (1007, frame(0x81, b"\xed\xa0\x80")),
    "bad UTF-8 in a fragment": (1007, frame(0x01, b"ok") + frame(0x00, b"\xff")),
    "UTF-8 that ends too soon, fragmented": (1007, frame(0x01, b"\xe2") + frame(0x80, b"\x82")),
    "bad UTF-8 in a close": (1007, frame(0x88, b"\x03\xe8\xff")),
    "close of one byte": (1002, frame(0x88, b"\x03")),
    "close with a code of our own only": (1002, frame(0x88, b"\x03\xee")),
    "close with a low code": (1002, frame(0x88, b"\x00\x01")),
    "close with an unknown code": (1002, frame(0x88, b"\x07\xd0")),
    "close with a high code": (1002, frame(0x88, b"\x13\x88")),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_breaks_the_rules_fails_once_and_for_all(name):
    code, sent = FAILURES[name]
    reader = FrameReader(LIMIT)
    good = frame(0x81, b"good")
    before, failure = reader.feed(good + sent + good)
    assert before == Message(Opcode.TEXT, b"good")
    assert isinstance(failure, PeerFailed)
    assert failure.code == code
    assert failure.reason
    assert reader.feed(good) == []
    assert not reader.is_idle


TOO_BIG = PeerFailed(1009, "message too big")


@pytest.mark.parametrize("limit", [10, 200, 70_000])
def test_a_message_of_the_limit_passes_and_one_byte_more_does_not(limit):
    fits = from_client(events.BytesMessage(data=b"a" * limit))
    assert read(fits, limit) == [Message(Opcode.BINARY, b"a" * limit)]
    for excess in (1, 14, 15, 1_000):
        sent = from_client(events.BytesMessage(data=b"a" * (limit + excess)))
        assert read(sent, limit) == [TOO_BIG]


def test_fragments_count_together():
    fragment = frame(0x00, b"a" * 60)
    assert read(frame(0x02, b"a" * 60) + fragment, 120) == []
    assert read(frame(0x02, b"a" * 60) + fragment, 119) == [TOO_BIG]


HUGE = frame(0x82, length=b"\x7f" + (2**40).to_bytes(8, "big"))


@pytest.mark.parametrize("places", [[], [1], [2], [5], [9], [10], range(1, 14)])
def test_a_size_is_refused_as_soon_as_it_is_known(places):
    """Nothing but the header comes: waiting for the rest would fill the memory."""
    assert read_in_pieces(HUGE, places) == [TOO_BIG]


# -- split anywhere ------------------------------------------------------------------------

MESSAGES = st.one_of(
    st.builds(events.TextMessage, data=st.text(max_size=200), message_finished=st.just(True)).map(
        lambda message: [message]
    ),
    st.builds(events.BytesMessage, data=st.binary(max_size=200)).map(lambda message: [message]),
    st.builds(events.Ping, payload=st.binary(max_size=125)).map(lambda message: [message]),
    st.lists(st.text(max_size=70), min_size=2, max_size=4).map(
        lambda parts: [
            events.TextMessage(data=part, message_finished=number == len(parts))
            for number, part in enumerate(parts, 1)
        ]
    ),
)


@given(
    groups=st.lists(MESSAGES, max_size=5),
    bad=st.sampled_from(
        [
            b"",
            *[sent for _, sent in FAILURES.values()],
            from_client(events.CloseConnection(code=1000)),
        ]
    ),
    data=st.data(),
)
def test_splitting_anywhere_changes_nothing(groups, bad, data):
    sent = from_client(*itertools.chain.from_iterable(groups)) + bad
    places = data.draw(st.lists(st.integers(0, len(sent)), max_size=12))
    whole = read(sent)
    assert len(whole) == len(groups) + bool(bad)
    assert read_in_pieces(sent, places) == whole


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_anything_at_all_is_read_or_fails(data, places):
    whole = read(data)
    assert all(isinstance(found, Message) for found in whole[:-1])
    assert read_in_pieces(data, [min(place, len(data)) for place in places]) == whole


# -- backends that speak WebSocket ---------------------------------------------------------


def from_backend(*messages):
    """What a real server sends for these wsproto events."""
    server = Connection(ConnectionType.SERVER)
    return b"".join(bytes(server.send(message)) for message in messages)


def read_of_backend(data, limit=LIMIT):
    return FrameReader(limit, of_client=False).feed(data)


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_a_backend_are_not_masked(size):
    data = from_backend(
        events.BytesMessage(b"x" * size), events.Ping(b"p"), events.TextMessage("\u00e4")
    )
    assert read_of_backend(data) == [
        Message(Opcode.BINARY, b"x" * size),
        Message(Opcode.PING, b"p"),
        Message(Opcode.TEXT, "\u00e4".encode()),
    ]


def test_close_of_a_backend():
    data = from_backend(events.CloseConnection(4000, "enough"))
    assert read_of_backend(data) == [PeerClosed(4000, "enough")]


def test_fragments_of_a_backend():
    reader = FrameReader(LIMIT, of_client=False)
    assert reader.feed(frame(0x01, b"a", masked=False)) == []
    assert reader.is_within_message
    ping = frame(0x89, b"p", masked=False)
    assert reader.feed(ping) == [Message(Opcode.PING, b"p")]
    assert reader.is_within_message
    assert reader.feed(frame(0x80, b"b", masked=False)) == [Message(Opcode.TEXT, b"ab")]
    assert not reader.is_within_message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0x81, b"a"), 1002),  # masked
        (frame(0xC1, b"a", masked=False), 1002),  # a reserved bit
        (frame(0x80, b"a", masked=False), 1002),  # nothing to go on with
        (frame(0x09, b"a", masked=False), 1002),  # a fragmented ping
        (frame(0x81, b"\xff", masked=False), 1007),
        (frame(0x82, b"x" * 101, masked=False), 1009),
    ],
)
def test_backend_that_breaks_the_rules(data, code):
    (failure,) = read_of_backend(data, limit=100)
    assert isinstance(failure, PeerFailed)
    assert failure.code == code


# -- compression ---------------------------------------------------------------------------

LONG = b"compress me " * 50
PERMESSAGE = "client_no_context_takeover; server_no_context_takeover"


def deflated(content):
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read_inflated(data, limit=LIMIT, **options):
    return FrameReader(limit, inflates=True, **options).feed(data)


def from_compressing_client(*messages):
    """What a real client sends that agreed on compression."""
    extension = PerMessageDeflate()
    extension.finalize(f"permessage-deflate; {PERMESSAGE}")
    client = Connection(ConnectionType.CLIENT, extensions=[extension])
    return b"".join(bytes(client.send(message)) for message in messages)


def test_deflated_messages_of_a_client():
    sent = from_compressing_client(
        events.TextMessage(data="\u20ac" * 500),
        events.Ping(payload=b"p"),
        events.BytesMessage(data=b""),
        events.TextMessage(data="x" * 300, message_finished=False),
        events.Ping(payload=b"q"),
        events.TextMessage(data="y" * 300, message_finished=True),
        events.BytesMessage(data=LONG),
    )
    assert read_inflated(sent) == [
        Message(Opcode.TEXT, "\u20ac".encode() * 500),
        Message(Opcode.PING, b"p"),
        Message(Opcode.BINARY, b""),
        Message(Opcode.PING, b"q"),
        Message(Opcode.TEXT, b"x" * 300 + b"y" * 300),
        Message(Opcode.BINARY, LONG),
    ]


def test_messages_need_not_be_deflated():
    sent = frame(0x81, b"a") + frame(0x01, b"b") + frame(0x80, b"c") + frame(0xC1, deflated(LONG))
    assert read_inflated(sent) == [
        Message(Opcode.TEXT, b"a"),
        Message(Opcode.TEXT, b"bc"),
        Message(Opcode.TEXT, LONG),
    ]


def test_deflated_messages_of_a_backend():
    data = deflated(LONG)
    sent = frame(0xC2, data, masked=False)
    sent += frame(0x41, data[:5], masked=False) + frame(0x80, data[5:], masked=False)
    expected = [Message(Opcode.BINARY, LONG), Message(Opcode.TEXT, LONG)]
    assert read_inflated(sent, of_client=False) == expected


def test_a_character_may_be_cut_anywhere_in_a_deflated_message():
    data = deflated("\u20ac".encode() * 300)
    sent = frame(0x41, data[:1]) + frame(0x00, data[1:4]) + frame(0x80, data[4:])
    assert read_inflated(sent) == [Message(Opcode.TEXT, "\u20ac".encode() * 300)]


def test_a_reader_is_idle_after_a_deflated_message():
    reader = FrameReader(LIMIT, inflates=True)
    data = deflated(LONG)
    assert reader.feed(frame(0x41, data[:4])) == []
    assert reader.is_within_message
    assert reader.feed(frame(0x80, data[4:])) == [Message(Opcode.TEXT, LONG)]
    assert reader.is_idle


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (1002, frame(0xC9, b"a")),  # a ping
        (1002, frame(0xC8, b"\x03\xe8")),  # a close
        (1002, frame(0xC0, b"a")),  # a continuation of nothing
        (1002, frame(0x41, deflated(LONG)) + frame(0xC0, b"")),  # a continuation
        (1002, frame(0x01, b"a") + frame(0x40, b"")),
        (1002, frame(0x01, b"a") + frame(0xC1, deflated(LONG))),  # another within a message
        (1002, frame(0xE1, deflated(LONG))),  # another bit as well
        (1002, frame(0x51, deflated(LONG))),
        (1002, frame(0xC3, deflated(LONG))),  # an unknown type
        (1002, frame(0xC1, deflated(LONG), masked=False)),
        (1002, frame(0x41, deflated(LONG), masked=False)),
        (1002, frame(0xC1, b"abc", length=b"\x7e\0\3")),  # a length written longer than it is
        (1007, frame(0xC1, b"\xff\xff")),  # nothing that deflate makes
        (1007, frame(0x41, b"\xff") + frame(0x80, b"\xff")),
        (1007, frame(0xC1, b"\xf2\x00\x11\x00\x00")),  # it refers to an earlier message
        (1007, frame(0xC1, deflated(b"\xff" * 300))),  # no UTF-8
        (1007, frame(0x41, deflated(b"\xff" * 300)) + frame(0x80)),
    ],
)
def test_what_compression_does_not_allow(code, sent):
    good = frame(0x81, b"good")
    reader = FrameReader(LIMIT, inflates=True)
    before, failure = reader.feed(good + sent + good)
    assert before == Message(Opcode.TEXT, b"good")
    assert isinstance(failure, PeerFailed)
    assert (failure.code, bool(failure.reason)) == (code, True)
    assert reader.feed(good) == []


def test_a_bomb_is_too_big_and_never_made():
    bomb = deflated(bytes(50_000_000))
    tracemalloc.start()
    try:
        assert read_inflated(frame(0xC2, bomb)) == [TOO_BIG]
        sent = frame(0x42, bomb[:100]) + frame(0x80, bomb[100:])
        assert read_inflated(sent) == [TOO_BIG]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * LIMIT


@pytest.mark.parametrize("size", [1_000, 60_000])
def test_limits_count_for_content_however_it_is_sent(size):
    noise = random.Random(1).randbytes(size)  # is larger deflated than it was
    assert len(deflated(noise)) > size
    for data in (b"a" * size, noise):
        expected = [Message(Opcode.BINARY, data)]
        whole, halves = frame(0xC2, deflated(data)), frame(0x42, deflated(data)[:9])
        halves += frame(0x80, deflated(data)[9:])
        assert read_inflated(whole, size) == read_inflated(halves, size) == expected
        assert read_inflated(whole, size - 1) == read_inflated(halves, size - 1) == [TOO_BIG]
    plain = from_client(events.BytesMessage(data=bytes(size + 1)))
    assert read_inflated(plain, size) == [TOO_BIG]
    parts = frame(0x02, bytes(size)) + frame(0x80, b"a")
    assert read_inflated(parts, size) == [TOO_BIG]


def test_a_frame_may_be_limited_by_itself():
    limits = {"max_frame_bytes": 130}
    assert read(frame(0x82, b"a" * 130)) == [Message(Opcode.BINARY, b"a" * 130)]
    for first in (0x82, 0x02, 0x81, 0xC2, 0x42):
        sent = frame(first, b"a" * 131)
        assert FrameReader(LIMIT, inflates=True, **limits).feed(sent) == [TOO_BIG]
    parts = frame(0x02, b"a" * 130) + frame(0x00, b"a" * 130) + frame(0x80, b"a" * 130)
    whole = [Message(Opcode.BINARY, b"a" * 390)]
    assert FrameReader(LIMIT, **limits).feed(parts) == whole
    assert FrameReader(300, **limits).feed(parts) == [TOO_BIG]
    assert FrameReader(10, **limits).feed(frame(0x82, b"a" * 11)) == [TOO_BIG]


def test_deflated_messages_are_made_as_there_is_room_for_them():
    sizes = [LIMIT, 10, LIMIT // 2, LIMIT // 2, LIMIT // 2, 20]
    messages = [Message(Opcode.BINARY, bytes(size)) for size in sizes]
    sent = b"".join(frame(0xC2, deflated(message.content)) for message in messages)
    reader = FrameReader(LIMIT, inflates=True)
    cut = frame(0x82, b"behind")
    assert reader.feed(sent + cut[:3]) == messages[:2]
    assert reader.has_more
    assert not reader.is_idle
    assert reader.feed(b"") == messages[2:5]
    assert reader.has_more
    assert reader.feed(b"") == messages[5:]
    assert not reader.has_more
    assert reader.feed(b"") == []
    assert reader.feed(cut[3:]) == [Message(Opcode.BINARY, b"behind")]
    assert reader.is_idle


def test_what_is_left_of_a_message_is_not_more():
    reader = FrameReader(LIMIT, inflates=True)
    both = frame(0xC2, deflated(bytes(LIMIT))) + frame(0xC2, deflated(b"a"))
    assert len(reader.feed(both + frame(0x82, b"abc")[:4])) == 2
    assert reader.feed(b"") == []
    assert not reader.has_more


def test_what_is_not_deflated_is_read_at_once():
    reader = FrameReader(LIMIT, inflates=True)
    sent = from_client(*[events.BytesMessage(data=bytes(LIMIT))] * 3)
    assert len(reader.feed(sent)) == 3
    assert not reader.has_more


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_anything_at_all_is_read_or_fails_with_compression(data, places):
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    reader = FrameReader(LIMIT, inflates=True)
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole = read_inflated(data)
    assert all(isinstance(found, Message) for found in whole[:-1])
    assert [found for piece in pieces for found in reader.feed(piece)] == whole
