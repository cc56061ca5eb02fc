"""Requests that renew the credential of another connection, which stays open meanwhile."""

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.decision import Answer, Decision, Renewal
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.pipeline.handler import HandlerContext
from realtime_proxy.pipeline.kong_refusal import kong_refusal
from realtime_proxy.pipeline.request_credentials import arguments


async def answer_renewal(
    exchange: Exchange, context: HandlerContext, credential: bytes
) -> Decision:
    """Give the connection that is named this credential, and say what came of it.

    It is named by the header `Connection-Id`, or in the query. 204, 403, 404 if there is none, or
    504 if a worker does not say whether it has it. `context` is of the handler whose `renewed`
    tells whose the credential is.
    """
    request, identity = exchange.request, exchange.identity
    by_query = [value for name, value, _ in arguments(request.target) if name == b"connection-id"]
    written = request.headers.get(b"connection-id") or next(iter(by_query), b"")
    if identity is None or identity.anonymous:
        return kong_refusal(request, 403, "Renewal refused")
    connection_id = written.decode("latin-1")
    match await context.connections.renew(connection_id, context.name, credential):
        case Renewal.ACCEPTED:
            return Answer(Response(204, Headers()))
        case Renewal.REFUSED:
            return kong_refusal(request, 403, "Renewal refused")
        case Renewal.UNANSWERED:
            return kong_refusal(request, 504, "A worker does not answer")
    return kong_refusal(request, 404, "No such connection")
