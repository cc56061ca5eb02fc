"""Which requests a route is for."""

from typing import Self

import attrs

from realtime_proxy.config.route_section import Route

ANY_HOST = b"*"


@attrs.frozen
class Condition:
    """What a request must be like. Empty or None: anything is.

    `host` is compared without regard to case; empty, only the id leads there. `path` is what the
    path begins with, as it is on the wire; `protocol` is `http` or `websocket`. `id` is what the
    configuration calls the route.
    """

    host: bytes = ANY_HOST
    path: bytes = b""
    protocol: str = ""
    tls: bool | None = None
    id: str = ""

    @classmethod
    def of(cls, route: Route) -> Self:
        """The condition of a configured route."""
        host = host_of(route.host.encode())
        return cls(host, route.path.encode(), route.protocol, route.tls, route.id)

    @property
    def name(self) -> str:
        """The id, or one that is derived from the rest: `HOST,PROTOCOL,TLS,PATH` (M-6.7)."""
        tls = {None: "*", True: "tls", False: "no-tls"}[self.tls]
        parts = (self.host.decode(), self.protocol or "*", tls, self.path.decode() or "*")
        return self.id or ",".join(parts)

    def fits(self, *, websocket: bool, tls: bool) -> bool:
        """True if requests of this kind may match; host and path are left to the table."""
        protocol = "websocket" if websocket else "http"
        return self.protocol in {"", protocol} and self.tls in {None, tls}

    def precedence(self) -> tuple[bool, int, bool]:
        """Of conditions that match, the one with the greatest value wins.

        A protocol outweighs any path, and a path any `tls`, so the order in the file never counts:
        two conditions with the same precedence that match the same request are equal.
        """
        return bool(self.protocol), len(self.path), self.tls is not None


def host_of(host: bytes) -> bytes:
    """The host of a `Host` field as conditions have it: lower case, without port or brackets.

    An empty port and the dot at the end of a whole name change nothing: who writes them must not
    get to the routes of other hosts.
    """
    lowered = host.strip().lower()
    if lowered.startswith(b"["):
        return lowered[1:].partition(b"]")[0]
    name, _, port = lowered.rpartition(b":")
    # More than one colon without brackets is an IPv6 address as a configuration may write it.
    if name and b":" not in name and (port.isdigit() or not port):
        lowered = name
    return lowered.removesuffix(b".")
