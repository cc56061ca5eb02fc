"""HTTP for handlers: how they ask auth servers and fetch keys. What does it is in `backend/`."""

import ssl
from typing import Protocol

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

NO_HEADERS = Headers()


class HttpCallError(Exception):
    """There is no usable answer; the text says why, without queries: they carry secrets."""


class HttpClient(Protocol):
    """Asks servers over HTTP/1.1; connections are kept for the next request."""

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
        """The answer, whatever its status, with its whole body. Raises HttpCallError.

        `timeout_seconds` is for all of it. Redirects are answers like others. A certificate is
        checked against the system's authorities, or as `tls` says; make that once, since
        connections are shared by those with the same. `Host` and `Content-Length` are added;
        of `headers`, those of one hop are left out.
        """
