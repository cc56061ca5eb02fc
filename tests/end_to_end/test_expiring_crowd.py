"""Two thousand clients whose tokens expire within five seconds, half of them renewed in time."""

import json
import time

import pytest

from realtime_proxy.testing.crowd import Crowd, upgrade_request
from realtime_proxy.testing.raw_client import encode_request
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import CLOSE, TEXT, encode_frame

OF_EACH = 1_000  # streams, and WebSockets
SPREAD_SECONDS = 5.0
# All have to be there before the first token expires; so long before its end each is renewed.
OPENING_SECONDS = 15.0
RENEWED_BEFORE_SECONDS = 1.5
# The proxy looks every twentieth of a second, and ends what would end before the next look. The
# kernel tells when that arrived to a few milliseconds.
MOST_EARLY_SECONDS = 0.07
MOST_LATE_SECONDS = 0.25

CONFIG = """
[handler.tokens]
use = "jwt_auth"
renewal_type = "renew"
renewal_path = "/renew"
[[handler.tokens.consumers]]
username = "ado"
[[handler.tokens.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[[route]]
handlers = ["tokens"]
targets = [{ test = true }]
"""
EXPIRED = CLOSE, (4401).to_bytes(2, "big") + b"credential expired"


class Client:
    """One of the crowd: when its token expires, and whether it is renewed before."""

    def __init__(self, number, first_expires_at):
        self.is_stream = number % 2 == 0
        self.is_renewed = number % 4 < 2
        self.subject = f"u{number}"
        self.expires_at = first_expires_at + SPREAD_SECONDS * number / (2 * OF_EACH)
        self.connection_id = ""
        self.member = None

    def token(self, expires_at):
        claims = {"iss": "adokey", "sub": self.subject, "exp": expires_at}
        return hs_token(claims).decode()

    @property
    def request(self):
        fields = [("Authorization", f"Bearer {self.token(self.expires_at)}")]
        if self.is_stream:
            return encode_request("GET", "/stream?channel=all", fields)
        return upgrade_request("/ws?channel=all", fields)

    @property
    def is_closed(self):
        """True once its end was told, in the way of its kind."""
        received = self.member.received
        return received.endswith(b"0\r\n\r\n") if self.is_stream else EXPIRED[1] in received

    def is_told_so(self):
        """True if it was told nothing else."""
        if self.is_stream:
            return self.member.received == b"0\r\n\r\n"
        return list(self.member.frames()) == [EXPIRED]


def opened(crowd, first_expires_at):
    """All of them, held; what they were told until then is read, and forgotten."""
    clients = [Client(number, first_expires_at) for number in range(2 * OF_EACH)]
    for is_stream, end in ((True, b"[stream opened]\n\r\n"), (False, b"\r\n\r\n")):
        some = [client for client in clients if client.is_stream is is_stream]
        members = crowd.gather([client.request for client in some], end)
        for client, member in zip(some, members, strict=True):
            client.member = member
            for line in member.take().decode().split("\r\n"):
                name, _, value = line.partition(": ")
                if name == "Connection-Id":
                    client.connection_id = value
    return clients


class Renewals:
    """Renews those who are to be renewed, each in its time: by message, or by another request."""

    def __init__(self, crowd, clients):
        ordered = sorted(clients, key=lambda client: client.expires_at, reverse=True)
        self._left = [client for client in ordered if client.is_renewed]
        # A client that asks again on the same connection, and waits for no answer.
        self.poster = crowd.join(b"")
        self.posted = 0

    def go_on(self, now):
        """Renew those whose time has come."""
        while self._left and self._left[-1].expires_at - RENEWED_BEFORE_SECONDS <= now:
            client = self._left.pop()
            token = client.token(client.expires_at + 1_000)
            if client.is_stream:
                self.posted += 1
                fields = [
                    ("Authorization", f"Bearer {token}"),
                    ("Connection-Id", client.connection_id),
                ]
                self.poster.send(encode_request("POST", "/renew", fields, b""))
            else:
                message = json.dumps({"type": "renew", "token": token})
                client.member.send(encode_frame(TEXT, message.encode()))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("workers", [1, 2])
def test_exactly_those_are_closed_who_are_not_renewed_and_in_time(start, workers):
    program = start(CONFIG, server=f"workers = {workers}", log='level = "warning"')
    with Crowd(program.address) as crowd:
        first_expires_at = time.time() + OPENING_SECONDS
        clients = opened(crowd, first_expires_at)
        assert time.time() < first_expires_at - RENEWED_BEFORE_SECONDS, "opening took too long"
        renewals = Renewals(crowd, clients)
        ends_at = first_expires_at + SPREAD_SECONDS + 2 * MOST_LATE_SECONDS
        while (now := time.time()) < ends_at:
            renewals.go_on(now)
            crowd.read(0.005)
        left = [client for client in clients if not client.is_renewed]
        stayed = [client for client in clients if client.is_renewed]
        late = sorted(client.member.last_at - client.expires_at for client in left)

        assert renewals.posted == OF_EACH // 2
        assert renewals.poster.received.count(b"HTTP/1.1 204 ") == OF_EACH // 2
        assert all(client.is_told_so() for client in left)
        assert not any(client.is_closed for client in stayed)
        for client in stayed:
            if not client.is_stream:
                [(opcode, told)] = client.member.frames()
                assert (opcode, json.loads(told)["type"]) == (TEXT, "renewed")
            client.member.take()
        payloads = {"http_stream": {"content": "here"}, "ws_message": {"content": "here"}}
        assert program.publish("all", **payloads) == len(stayed)
        crowd.attend(lambda: all(b"here" in client.member.received for client in stayed), 10)
    print(f"closed {late[0]:.3f} to {late[-1]:.3f} s after expiry, median {late[OF_EACH // 2]:.3f}")
    assert late[0] > -MOST_EARLY_SECONDS
    assert late[-1] < MOST_LATE_SECONDS
