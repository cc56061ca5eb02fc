"""What answers a response hold: the first item, over the response the hold came with."""

from realtime_proxy.grip.json_patch import patched_body
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse
from realtime_proxy.model.messages import Response, reason_phrase

_CONNECTION = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding"))


def answer_of_item(payload: HttpResponse, held: Headers, body: bytes) -> Response:
    """The response that an item makes of a hold.

    `held` are the fields the hold would have sent: those that the item has too are replaced, the
    others stay. `body` is the hold's own, which a `body-patch` changes.
    """
    # Most items have no fields, and for each client this comes anew.
    headers = _replaced(held, payload.headers) if payload.headers else Headers(held)
    content = payload.body
    if payload.body_patch is not None:
        content = patched_body(body, payload.body_patch)
    reason = payload.reason or reason_phrase(payload.status)
    return Response(payload.status, headers, content, reason)


def _replaced(held: Headers, given: Headers) -> Headers:
    own = given.without(_CONNECTION).without_prefix(b"grip-")
    headers = Headers([*held.without({name.lower() for name, _ in own}), *own])
    exposed = given.tokens(b"grip-expose-headers")
    return headers.only(exposed) if exposed else headers
