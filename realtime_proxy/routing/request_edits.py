"""What a route changes in its requests for the backends: the path, and header fields."""

from typing import Self

import attrs

from realtime_proxy.config.route_section import Route
from realtime_proxy.model.headers import Headers, as_headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.wire.http1_rules import known


@attrs.frozen
class RequestEdits:
    """The changes of one route, made when the configuration is loaded."""

    cut: int  # so many characters of the path go
    start: bytes  # and this comes in their place
    replaced: frozenset[bytes]
    fields: SharedHeaders

    @classmethod
    def of(cls, route: Route) -> Self | None:
        """The edits of a route; None if it passes requests on as they are."""
        start = route.path_replace
        edits = cls(
            cut=route.path_remove if start is None else len(route.path.encode()),
            start=(start or "").encode(),
            replaced=frozenset(
                name.lower().encode() for name in (*route.set_headers, *route.remove_headers)
            ),
            fields=known(as_headers(route.set_headers.items())),
        )
        changes_path = bool(edits.cut or edits.start)
        return edits if changes_path or edits.replaced else None

    def apply(self, head: RequestHead) -> RequestHead:
        """The request as backends get it; the one that came stays as it is."""
        headers = self.edited_headers(head.headers)
        return RequestHead(head.method, self._target(head.target), headers, head.version)

    def edited_headers(self, headers: Headers) -> Headers:
        """The fields as backends get them."""
        if not self.replaced:
            return headers
        return SharedHeaders.of(headers).lacking(self.replaced).plus(self.fields)

    def edited_path(self, path: bytes) -> bytes:
        """A path, or what paths begin with, as backends get it."""
        if not (self.cut or self.start):
            return path
        path = self.start + path[self.cut :]
        # What a path begins with is no question of configuration (RFC 9112 3.2.1).
        return path if path.startswith(b"/") else b"/" + path

    def _target(self, target: bytes) -> bytes:
        if not target.startswith(b"/"):  # `*` has no path
            return target
        path, mark, query = target.partition(b"?")
        return self.edited_path(path) + mark + query
