"""Refusals in the forms of Oathkeeper's error handlers: `json`, `redirect`, `www_authenticate`."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import attrs
import msgspec

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.pipeline.page_request import is_page_request


@attrs.frozen
class ErrorForms:
    """How a route refuses. Pages go to the login if there is one, and nothing else does.

    With a `realm`, who is not let in is asked for a name and a password (RFC 7617). Without
    `verbose`, nobody learns what was wrong.
    """

    redirect_to: str = ""
    redirect_status: int = 302
    return_to_query_param: str = ""
    realm: str = ""
    verbose: bool = True

    @property
    def challenge(self) -> str:
        """`WWW-Authenticate`; perhaps empty."""
        return f'Basic realm="{self.realm}"' if self.realm else ""

    def unauthorized(self, exchange: Exchange, message: str, why: str) -> Refuse:
        """The refusal of who has nothing that counts: a redirect, a challenge, or a 401 as JSON."""
        if self.redirect_to and is_page_request(exchange):
            headers = Headers([(b"Location", self._login(exchange).encode())])
            return Refuse(Response(self.redirect_status, headers), why=why)
        if self.realm:
            text = HTTPStatus.UNAUTHORIZED.phrase.encode() + b"\n"
            headers = Headers([(b"Content-Type", b"text/plain; charset=utf-8")])
            headers.append((b"WWW-Authenticate", self.challenge.encode()))
            return Refuse(Response(401, headers, text), why=why)
        return self.json(401, message, why)

    def json(
        self, status: int, message: str, why: str, further: Iterable[tuple[bytes, bytes]] = ()
    ) -> Refuse:
        """A refusal with any status, and further header fields."""
        error: dict[str, Any] = {"code": status, "status": HTTPStatus(status).phrase}
        if self.verbose:
            error["message"] = message
        headers = Headers([(b"Content-Type", b"application/json"), *further])
        return Refuse(Response(status, headers, msgspec.json.encode({"error": error})), why=why)

    def _login(self, exchange: Exchange) -> str:
        """The login, and there the way back."""
        url = self.redirect_to
        if not self.return_to_query_param:
            return url
        request = exchange.request
        host = request.headers.get(b"host") or b""
        page = b"%b://%b%b" % (exchange.scheme.encode(), host, request.target)
        separator = "&" if "?" in url else "?"
        return f"{url}{separator}{quote(self.return_to_query_param)}={quote(page, safe='')}"
