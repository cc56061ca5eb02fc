"""Whatever client, backend, publishers and networks do, in any order: what passes keeps its order,
nothing is lost before a close, and each side is told its end exactly once.
"""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CloseBackend,
    EndBackend,
    EndClient,
    SendClose,
    SendMessage,
    SendToBackend,
)
from realtime_proxy.sessions.websocket_pass_through import WebSocketPassThrough
from realtime_proxy.wire.websocket_frame import Opcode

ACTS = [
    "client message",
    "client close",
    "client lost",
    "backend message",
    "backend close",
    "backend lost",
    "backend fails",
    "detach",
    "published close",
]
OFTEN = ["client message", "backend message"]


class Pair:
    """Client and backend at the ends of a session, and what each of them got."""

    def __init__(self):
        self.session = WebSocketPassThrough(trusted=False)
        self.count = 0
        self.client_ends = self.backend_ends = False  # nothing more comes from there
        self.to_client, self.to_backend = [], []
        self.sent_by_client, self.sent_by_backend = [], []
        headers = Headers([(b"Sec-WebSocket-Extensions", b"grip")])
        (first,) = self.session.answered(ResponseHead(101, b"", headers))
        assert isinstance(first, AcceptClient)

    def act(self, act):
        side = act.partition(" ")[0]
        if (side == "client" and self.client_is_over) or (side == "backend" and self.is_mute):
            return
        if act == "detach" and self.is_mute:
            return
        self.take(getattr(self, act.replace(" ", "_"))())

    @property
    def client_is_over(self):
        return self.client_ends or EndClient in map(type, self.to_client)

    @property
    def is_mute(self):
        return self.backend_ends or EndBackend in map(type, self.to_backend)

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, SendToBackend | CloseBackend | EndBackend):
                self.to_backend.append(effect)
            else:
                self.to_client.append(effect)

    def next_content(self):
        self.count += 1
        return b"%d" % self.count

    def client_message(self):
        content = self.next_content()
        if not any(isinstance(effect, CloseBackend | EndBackend) for effect in self.to_backend):
            self.sent_by_client.append(content)
        return self.session.message_arrived(Opcode.TEXT, content)

    def client_close(self):
        self.client_ends = True
        return self.session.client_closed(3000, "client")

    def client_lost(self):
        self.client_ends = True
        return self.session.client_gone()

    def backend_message(self):
        content = self.next_content()
        told = any(isinstance(effect, CloseBackend) for effect in self.to_backend)
        client_closed = self.client_ends and SendClose not in map(type, self.to_client)
        if SendClose not in map(type, self.to_client) and (not told or client_closed):
            self.sent_by_backend.append(content)
        return self.session.backend_message_arrived(Opcode.BINARY, b"m:" + content)

    def backend_close(self):
        self.backend_ends = True
        return self.session.backend_closed(4000, "backend")

    def backend_lost(self):
        self.backend_ends = True
        return self.session.backend_gone()

    def backend_fails(self):
        self.backend_ends = True
        return self.session.backend_failed(1002, "nonsense")

    def detach(self):
        return self.session.backend_message_arrived(Opcode.TEXT, b'c:{"type": "detach"}')

    def published_close(self):
        return self.session.close(4100, "published")

    def run_out(self):
        """What connection and timers do in the end: nothing is awaited for ever."""
        if EndClient not in map(type, self.to_client):
            self.take(self.session.client_gone())
        if EndBackend not in map(type, self.to_backend):
            self.take(self.session.backend_gone())


@given(st.lists(st.sampled_from([*ACTS, *OFTEN * 4]), max_size=30))
def test_order_and_ends(acts):
    pair = Pair()
    for act in acts:
        pair.act(act)
    pair.run_out()
    got = [effect.content for effect in pair.to_client if isinstance(effect, SendMessage)]
    heard = [effect.content for effect in pair.to_backend if isinstance(effect, SendToBackend)]
    assert heard == pair.sent_by_client
    assert got == pair.sent_by_backend
    check_end(pair.to_client, SendMessage, SendClose, EndClient)
    check_end(pair.to_backend, SendToBackend, CloseBackend, EndBackend)
    assert EndBackend in map(type, pair.to_backend)
    assert pair.session.is_finished


def check_end(effects, message, close, end):
    """Messages, then at most one close, then at most one end, and nothing behind either."""
    kinds = [kind for kind in map(type, effects) if kind in (message, close, end)]
    rest = [kind for kind in kinds if kind is not message]
    assert kinds[len(kinds) - len(rest) :] == rest
    assert rest in ([], [close], [end], [close, end])
