"""The hosts that requests to a port of our own may name.

A page's own name can be made to lead to this machine (DNS rebinding); then its requests come from
its user's browser and count as of the same origin. What gives them away is the name in `Host`: one
that somebody could register. Addresses and names without a dot (`localhost`, the name of a machine
or of a container) are none, so they need no configuration.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Self

import attrs

from realtime_proxy.config.addresses import Address, TcpAddress
from realtime_proxy.routing.condition import host_of


@attrs.frozen
class OwnHosts:
    """Names with a dot that are a port's, in lower case; None: any name is."""

    names: frozenset[bytes] | None = frozenset()

    @classmethod
    def of(cls, address: Address, names: Iterable[str] = ()) -> Self:
        """The hosts of a port at this address, and these. Any on a unix socket: pages have none."""
        if not isinstance(address, TcpAddress):
            return cls(None)
        configured = (address.host, socket.gethostname(), *names)
        return cls(frozenset(name.lower().encode() for name in configured))

    def include(self, field: bytes) -> bool:
        """True if a `Host` field names one of them, whatever the port."""
        host = host_of(field)
        return (
            self.names is None
            or b"." not in host
            or host.endswith(b".localhost")
            or host in self.names
            or _is_address(host)
        )


def _is_address(host: bytes) -> bool:
    try:
        ipaddress.ip_address(host.decode("latin-1"))
    except ValueError:
        return False
    return True
