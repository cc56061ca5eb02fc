"""Where a backend is, and how its certificate is checked."""

import ipaddress
import socket
import ssl

import attrs


@attrs.frozen(cache_hash=True)
class Origin:
    """One backend address; connections to equal origins are interchangeable."""

    host: str
    port: int
    tls: bool = False
    insecure: bool = False
    # The address family of a literal address; None for a name, which may have several.
    family: socket.AddressFamily | None = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "family", _family_of(self.host))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _family_of(host: str) -> socket.AddressFamily | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def client_context(origin: Origin) -> ssl.SSLContext:
    """How to verify this backend: against the system's authorities, or not at all."""
    context = ssl.create_default_context()
    if origin.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
