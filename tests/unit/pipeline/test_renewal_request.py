"""Requests that renew another connection's credential."""

import pytest

from realtime_proxy.pipeline import (
    Answer,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    Identity,
    Refuse,
    Renewal,
    RequestHead,
    answer_renewal,
)


class Connections:
    """Knows one, `c`; a worker that may have `slow` does not answer."""

    async def renew(self, connection_id, handler, credential):
        if connection_id == "slow":
            return Renewal.UNANSWERED
        if connection_id != "c":
            return Renewal.UNKNOWN
        assert handler == "tokens"
        return Renewal.ACCEPTED if credential == b"of ann" else Renewal.REFUSED


CONTEXT = HandlerContext("tokens", None, services=HandlerServices(None, Connections(), None))


async def answer(identity, target=b"/renew", *fields):
    request = RequestHead(b"POST", target, Headers(fields))
    credential = f"of {identity.consumer}".encode() if identity else b""
    return await answer_renewal(Exchange(request, "r", "http", "", identity), CONTEXT, credential)


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (b"/renew?a=b&connection-id=c", ()),
        (b"/renew", [(b"Connection-Id", b"c")]),
        (b"/renew?connection-id=d", [(b"Connection-Id", b"c")]),
    ],
)
async def test_renewed(target, fields):
    decision = await answer(Identity("ann"), target, *fields)
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
        (Identity("ann"), b"/renew?connection-id=slow", 504),
    ],
)
async def test_not_renewed(identity, target, status):
    decision = await answer(identity, target)
    assert isinstance(decision, Refuse)
    assert decision.response.status == status
