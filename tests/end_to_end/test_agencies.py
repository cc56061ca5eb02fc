"""Ten thousand items over fifty agencies to five thousand clients: each has exactly its own."""

import json
import time

import pytest
import zmq

from realtime_proxy.testing.crowd import Crowd, upgrade_request
from realtime_proxy.testing.raw_client import encode_request
from realtime_proxy.testing.tokens import hs_token

AGENCIES = 50
STREAMS, WEBSOCKETS = 3_000, 2_000
ITEMS = 10_000
SECONDS = 120

CONFIG = """
[handler.tokens]
use = "jwt_auth"
[[handler.tokens.consumers]]
username = "ado"
[[handler.tokens.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[[route]]
handlers = ["tokens"]
delivery_scope_claim = "agency"
targets = [{ test = true }]
"""
LAST = "last"


def bearer(agency):
    claims = {"iss": "adokey", "exp": time.time() + 1_000, "agency": f"a{agency}"}
    return ("Authorization", f"Bearer {hs_token(claims).decode()}")


def item(text, meant_for):
    formats = {"http-stream": {"content": f"{text};"}, "ws-message": {"content": text}}
    meta = {} if meant_for is None else {"agency": meant_for}
    return b"J" + json.dumps({"channel": "alerts", "meta": meta, "formats": formats}).encode()


def published():
    """Pairs of a text and whom it is for: mostly one agency; now and then two, or nobody."""
    for number in range(ITEMS):
        first, second = number % AGENCIES, number * 7 % AGENCIES
        meant_for = f"a{first}"
        if number % 10 == 3:
            meant_for = f"a{first}, a{second}"
        elif number % 100 == 7:
            meant_for = None
        yield f"{number}", meant_for
    yield LAST, "*"


def own(agency):
    """What an agency is to get, in order."""
    for text, meant_for in published():
        if meant_for == "*" or (meant_for and f"a{agency}" in meant_for.split(", ")):
            yield text


def push(address, items):
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(address)
        for one in items:
            socket.send(one)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("workers", [1, 2])
def test_everybody_has_exactly_their_own(start, tmp_path, workers):
    pull = f"ipc://{tmp_path}/pull"
    program = start(CONFIG, server=f"workers = {workers}", pull=pull, log='level = "warning"')
    fields = [bearer(agency) for agency in range(AGENCIES)]
    target = "/{}?channel=alerts"
    streams = [
        encode_request("GET", target.format("stream"), [fields[number % AGENCIES]])
        for number in range(STREAMS)
    ]
    sockets = [
        upgrade_request(target.format("ws"), [fields[number % AGENCIES]])
        for number in range(WEBSOCKETS)
    ]
    with Crowd(program.address) as crowd:
        held = crowd.gather(streams, b"[stream opened]\n\r\n")
        open_ = crowd.gather(sockets, b"\r\n\r\n")
        for one in (*held, *open_):
            one.take()
        begun = time.monotonic()
        push(pull, (item(*one) for one in published()))
        lasts = [(member, f"{LAST};\r\n".encode()) for member in held]
        lasts += [(member, LAST.encode()) for member in open_]

        def have_all():
            while lasts and lasts[-1][0].received.endswith(lasts[-1][1]):
                lasts.pop()
            return not lasts

        crowd.attend(have_all, SECONDS)
        seconds = time.monotonic() - begun
        expected = [list(own(agency)) for agency in range(AGENCIES)]
        for number, member in enumerate(held):
            texts = [chunk.decode() for chunk in member.chunks()]
            assert texts == [f"{text};" for text in expected[number % AGENCIES]]
        for number, member in enumerate(open_):
            assert [content.decode() for _, content in member.frames()] == expected[
                number % AGENCIES
            ]
    deliveries = sum(map(len, expected)) * (STREAMS + WEBSOCKETS) // AGENCIES
    print(f"{workers} workers: {deliveries} deliveries in {seconds:.1f} s")
