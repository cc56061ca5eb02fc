"""However little of the events a backend accepts, and whatever comes meanwhile: taken together, it
accepts each byte once, in order, and is told what it has seen before.
"""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.grip.websocket_events import CONTENT_TYPE
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.sessions.effects import CallBackend
from realtime_proxy.sessions.websocket_over_http import WebSocketOverHttp
from realtime_proxy.testing.events import read_events
from realtime_proxy.wire.websocket_frame import Opcode

messages = st.lists(st.binary(max_size=5), max_size=4)


class Backend:
    """Accepts as it is told to, and remembers what it was offered."""

    def __init__(self):
        self.accepted = b""
        self.offered_bytes = 0  # of all there ever was, so much was in some request

    def respond(self, session, body, share):
        content = b"".join(content for _, content in read_events(body))
        before = self.offered_bytes - len(self.accepted)
        assert session.replayed_bytes == min(before, len(content))
        count = min(len(content), share)
        self.offered_bytes = max(self.offered_bytes, len(self.accepted) + len(content))
        self.accepted += content[:count]
        fields = [(b"Content-Type", CONTENT_TYPE), (b"Content-Bytes-Accepted", b"%d" % count)]
        return session.response_arrived(ResponseHead(200, b"OK", Headers(fields)), b"")


@given(st.lists(st.tuples(messages, messages, st.integers(1, 12)), max_size=8), st.booleans())
def test_every_byte_once_in_order(rounds, one_event):
    session, backend, sent = WebSocketOverHttp(one_event=one_event, trusted=False), Backend(), b""
    session.start()
    head = ResponseHead(200, b"OK", Headers([(b"Content-Type", CONTENT_TYPE)]))
    session.response_arrived(head, b"OPEN\r\n")
    calls = []

    def say(contents):
        nonlocal sent
        for content in contents:
            sent += content
            calls.extend(session.message_arrived(Opcode.BINARY, content))

    for before, meanwhile, share in [*rounds, ([], [], 1_000)]:
        say(before)
        calls.extend([] if calls else session.refresh())
        body = calls.pop().events
        say(meanwhile)
        calls.extend(backend.respond(session, body, share))
        assert sent.startswith(backend.accepted)
        assert len(calls) < 2
    while calls or session.waiting_bytes:
        calls.extend([] if calls else session.refresh())
        (call,) = [effect for effect in calls if isinstance(effect, CallBackend)]
        calls.clear()
        calls.extend(backend.respond(session, call.events, 1_000))
    assert backend.accepted == sent
