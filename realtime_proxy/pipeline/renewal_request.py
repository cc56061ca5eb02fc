"""Requests that renew the credential of another connection, which stays open meanwhile."""

from collections.abc import Mapping
from typing import Any

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.decision import Answer, Decision, Renewal
from realtime_proxy.pipeline.exchange import NO_NOTES, Exchange
from realtime_proxy.pipeline.kong_refusal import kong_refusal
from realtime_proxy.pipeline.request_credentials import arguments
from realtime_proxy.pipeline.services import LiveConnections


def answer_renewal(
    exchange: Exchange, connections: LiveConnections, notes: Mapping[str, Any] = NO_NOTES
) -> Decision:
    """Give the connection that is named the identity of this exchange, and say what came of it.

    It is named by the header `Connection-Id`, or in the query. 204, 403, or 404 if there is none.
    `notes` go to those of its exchange.
    """
    request, identity = exchange.request, exchange.identity
    by_query = [value for name, value, _ in arguments(request.target) if name == b"connection-id"]
    written = request.headers.get(b"connection-id") or next(iter(by_query), b"")
    if identity is None or identity.anonymous:
        return kong_refusal(request, 403, "Renewal refused")
    match connections.renew(written.decode("latin-1"), identity, notes):
        case Renewal.ACCEPTED:
            return Answer(Response(204, Headers()))
        case Renewal.REFUSED:
            return kong_refusal(request, 403, "Renewal refused")
    return kong_refusal(request, 404, "No such connection")
