"""Requests that renew another connection's credential."""

import pytest

from realtime_proxy.pipeline import (
    Answer,
    Exchange,
    Headers,
    Identity,
    Refuse,
    Renewal,
    RequestHead,
    answer_renewal,
)


class Connections:
    """Knows one, `c`."""

    def renew(self, connection_id, identity, notes):
        self.notes = notes
        if connection_id != "c":
            return Renewal.UNKNOWN
        return Renewal.ACCEPTED if identity.consumer == "ann" else Renewal.REFUSED


def answer(identity, target=b"/renew", *fields):
    request = RequestHead(b"POST", target, Headers(fields))
    connections = Connections()
    decision = answer_renewal(Exchange(request, "r", "http", "", identity), connections, {"a": 1})
    assert getattr(connections, "notes", {"a": 1}) == {"a": 1}
    return decision


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (b"/renew?a=b&connection-id=c", ()),
        (b"/renew", [(b"Connection-Id", b"c")]),
        (b"/renew?connection-id=d", [(b"Connection-Id", b"c")]),
    ],
)
def test_renewed(target, fields):
    decision = answer(Identity("ann"), target, *fields)
    assert isinstance(decision, Answer)
    assert decision.response.status == 204


@pytest.mark.parametrize(
    ("identity", "target", "status"),
    [
        (Identity("bob"), b"/renew?connection-id=c", 403),
        (Identity("ann", anonymous=True), b"/renew?connection-id=c", 403),
        (None, b"/renew?connection-id=c", 403),
        (Identity("ann"), b"/renew?connection-id=d", 404),
        (Identity("ann"), b"/renew", 404),
    ],
)
def test_not_renewed(identity, target, status):
    decision = answer(identity, target)
    assert isinstance(decision, Refuse)
    assert decision.response.status == status
