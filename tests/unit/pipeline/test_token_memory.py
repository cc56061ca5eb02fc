"""Good tokens are remembered while they count, the latest of them."""

import time

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.pipeline.token_memory import Accepted, TokenMemory


def accepted(**identity):
    return Accepted(Identity("a", **identity), Headers())


def test_the_oldest_makes_room():
    memory = TokenMemory(2)
    for token in (b"a", b"b", b"c"):
        memory.keep(token, accepted())
    assert memory.recall(b"a") is None
    assert memory.recall(b"c") is not None
    assert len(memory) == 2
    none = TokenMemory(0)
    none.keep(b"a", accepted())
    assert none.recall(b"a") is None


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        (accepted(expires_at=time.time() + 3600), True),
        (accepted(expires_at=time.time() - 1), False),
        (accepted(is_current=lambda: True), True),
        (accepted(is_current=lambda: False), False),
        (accepted(holds=lambda: False), False),
    ],
)
def test_what_counts_no_more_is_forgotten(kept, counts):
    memory = TokenMemory(2)
    memory.keep(b"a", kept)
    assert (memory.recall(b"a") is kept) == counts
    assert len(memory) == counts
