"""HTTP for handlers, over the connections that are kept to backends."""

import re
import ssl

import trio

from realtime_proxy.backend.origin import Origin, default_context
from realtime_proxy.backend.request import IDEMPOTENT, BackendCaller, OutgoingRequest
from realtime_proxy.backend.response import NetworkResponse
from realtime_proxy.errors import BackendError, BackendMisbehaved
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.pipeline.http_client import NO_HEADERS, HttpCallError
from realtime_proxy.wire.http1_client import encode_request_head

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUES = re.compile(rb"[\r\n\0]")
_OURS = frozenset((b"host", b"content-length", b"expect"))


class PooledHttpClient:
    """What handlers ask others with: `pipeline.HttpClient`."""

    def __init__(self, caller: BackendCaller) -> None:
        self._caller = caller

    async def ask(
        self,
        method: str,
        url: str,
        headers: Headers = NO_HEADERS,
        body: bytes = b"",
        *,
        timeout_seconds: float = 5.0,
        max_body_bytes: int = 1_000_000,
        tls: ssl.SSLContext | None = None,
    ) -> Response:
        """The answer, whatever its status, with its whole body. Raises HttpCallError."""
        where = url.partition("?")[0]
        try:
            uri = Uri.parse(url)
            request = _request(method.encode(), uri, headers, body)
        except ValueError as error:
            raise HttpCallError(f"{where} can't be asked: {error}") from error
        context = (tls or default_context()) if uri.scheme == "https" else None
        origin = Origin(uri.host, uri.port, tls=context, server_name=uri.host)
        try:
            with trio.fail_after(timeout_seconds):
                return await self._exchange(origin, request, max_body_bytes)
        except trio.TooSlowError as error:
            raise HttpCallError(f"{where}: no answer in {timeout_seconds:g} s") from error
        except BackendError as error:
            raise HttpCallError(f"{where}: {error}") from error

    async def _exchange(
        self, origin: Origin, request: OutgoingRequest, max_body_bytes: int
    ) -> Response:
        response = await self._caller.call(origin, request)
        try:
            body = await _whole(response, max_body_bytes)
        finally:
            response.close()
        head = response.head
        return Response(head.status, Headers(head.headers), body, head.reason)


def _request(method: bytes, uri: Uri, headers: Headers, body: bytes) -> OutgoingRequest:
    """Raises ValueError for what can't be sent as it is."""
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method")
    fields = Headers([(b"Host", uri.authority.encode())])
    for name, value in headers.without(_OURS | headers.hop_by_hop()):
        if not _TOKEN.fullmatch(name) or _FORBIDDEN_IN_VALUES.search(value):
            raise ValueError(f"the header {name!r} can't be sent")
        fields.append((name, value))
    if body or method not in IDEMPOTENT:
        fields.append((b"Content-Length", b"%d" % len(body)))
    head = RequestHead(method, uri.target.encode(), fields)
    return OutgoingRequest(
        method, encode_request_head(head) + body, repeatable=method in IDEMPOTENT
    )


async def _whole(response: NetworkResponse, max_body_bytes: int) -> bytes:
    body = response.take()
    while True:
        if len(body) > max_body_bytes:
            raise BackendMisbehaved(f"the answer has more than {max_body_bytes} bytes")
        if response.complete:
            return body
        body += await response.read()
