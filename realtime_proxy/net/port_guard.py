"""Who may use a port of our own: no pages of others, and only those who have the key."""

from urllib.parse import urlsplit

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, text_response
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.routing.condition import host_of


@attrs.frozen
class PortGuard:
    """Turns away requests that may not be served.

    `section` of the configuration has the key; `other_names` says which names are taken.
    """

    section: str
    hosts: OwnHosts
    other_names: str
    key: BearerKey | None = None

    def refusal(self, headers: Headers) -> Response | None:
        """The answer to who may not ask; None if a request is to be served."""
        if _is_foreign(headers):
            return text_response(403, "Requests from other origins are refused.")
        if self.key is not None:
            return None if self.key.admits(headers) else self._key_wanted()
        # A page that has its own name lead here has no key.
        host = headers.get(b"host")
        if host is None or self.hosts.include(host):
            return None
        name = host.decode("latin-1")
        return text_response(403, f"Requests for {name} are refused: {self.other_names}.")

    def _key_wanted(self) -> Response:
        text = f"The key of [{self.section}] is needed: Authorization: Bearer TOKEN."
        refusal = text_response(401, text)
        refusal.headers.append((b"WWW-Authenticate", b'Bearer realm="%b"' % self.section.encode()))
        return refusal


def _is_foreign(headers: Headers) -> bool:
    """True for a page of another origin: a browser must not act here on behalf of its user."""
    origin = headers.get(b"origin")
    if origin is None:
        return False
    host = headers.get(b"host") or b""
    try:
        return urlsplit(origin.decode("latin-1")).netloc.encode() != host or not host_of(host)
    except ValueError:
        return True
