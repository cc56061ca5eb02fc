"""Refusals as Kong words them: JSON, or text for those who prefer it."""

import re
import secrets

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.pipeline.decision import Refuse

JSON = b"application/json; charset=utf-8"
PLAIN_TEXT = b"text/plain; charset=utf-8"


def kong_refusal(request: RequestHead, status: int, message: str, challenge: str = "") -> Refuse:
    """A refusal with an id that the client can quote, and that the log has too.

    `challenge` is the `WWW-Authenticate` of a 401.
    """
    request_id = secrets.token_hex(16)
    content_type, body = _render(message, request_id, request.headers)
    headers = Headers([(b"Content-Type", content_type)])
    if challenge:
        headers.append((b"WWW-Authenticate", challenge.encode()))
    return Refuse(Response(status, headers, body), why=f"{message} (request_id {request_id})")


def _render(message: str, request_id: str, headers: Headers) -> tuple[bytes, bytes]:
    """Content type and body, as the client accepts: JSON unless text is preferred."""
    if _quality(headers, b"text/plain") > _quality(headers, b"application/json"):
        return PLAIN_TEXT, f"{message}\nrequest_id: {request_id}\n".encode()
    body = f'{{\n  "message":"{message}",\n  "request_id":"{request_id}"\n}}'
    return JSON, body.encode()


def _quality(headers: Headers, media_type: bytes) -> float:
    """How much a media type is wanted (RFC 9110 12.5.1): the most specific range decides."""
    ranges: dict[bytes, float] = {}
    for element in headers.tokens(b"accept"):
        name, *parameters = (part.strip() for part in element.split(b";"))
        weight = next((p[2:] for p in parameters if p.startswith(b"q=")), b"1")
        ranges[name] = float(weight) if re.fullmatch(rb"[01](\.[0-9]{0,3})?", weight) else 0.0
    for name in (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
