"""Where a backend is, and how it is talked to."""

import ipaddress
import socket
import ssl
from functools import cache
from pathlib import Path

import attrs


@attrs.frozen(cache_hash=True)
class Origin:
    """One backend address; connections to equal origins are interchangeable.

    `tls` is what `client_context` makes, one for all origins with the same settings; its
    certificate is checked for `server_name`. An `untrusted` one must not lead into private
    networks.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    untrusted: bool = False
    # The address family of a literal address; None for a name, which may have several.
    family: socket.AddressFamily | None = attrs.field(init=False, eq=False)
    label: str = attrs.field(init=False, eq=False)  # as messages name it

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "family", family_of(self.host))
        host = f"[{self.host}]" if ":" in self.host else self.host
        object.__setattr__(self, "label", f"{host}:{self.port}")

    def __str__(self) -> str:
        return self.label


def family_of(host: str) -> socket.AddressFamily | None:
    """The address family of a literal address, or None."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def client_context(
    *, insecure: bool = False, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """How to verify backends (against the system's authorities, or not at all), and who we are.

    Raises OSError (ssl.SSLError) when the certificate or its key can't be used.
    """
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        # An encrypted key would have it ask for a password on the terminal.
        context.load_cert_chain(certificate, key, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def default_context() -> ssl.SSLContext:
    """The context for backends without settings of their own: reading authorities takes a while."""
    return client_context()
