"""Where a backend is, and how it is talked to."""

import ipaddress
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Self

import attrs

from realtime_proxy.net.certificates import MINIMUM_VERSION, load_authorities


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

    def verified_as(self, host: bytes) -> Self:
        """The same one, with its certificate checked for another name."""
        return attrs.evolve(self, server_name=host.decode("latin-1"))


def family_of(host: str) -> socket.AddressFamily | None:
    """The address family of a literal address, or None."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def client_context(*, insecure: bool = False, authorities: Path | None = None) -> ssl.SSLContext:
    """How to verify backends: against a file's authorities, the system's (None), or not at all.

    Raises OSError (ssl.SSLError) when the file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = MINIMUM_VERSION
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authorities is not None:
        load_authorities(context, authorities)
    else:
        context.load_default_certs()
    return context


def show_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Show backends who we are. Raises OSError (ssl.SSLError) when the files can't be used."""
    # An encrypted key would have it ask for a password on the terminal.
    context.load_cert_chain(certificate, key, password="")


def default_context() -> ssl.SSLContext:
    """The context for backends without settings of their own, as the system's authorities are now.

    It is the same until these change: reading them takes a while, and a context of them is large.
    """
    paths = ssl.get_default_verify_paths()
    return _context_of(tuple(_changed_at(path) for path in (paths.cafile, paths.capath)))


@lru_cache(1)
def _context_of(_changed_at: tuple[float, ...]) -> ssl.SSLContext:
    return client_context()


def _changed_at(path: str | None) -> float:
    try:
        return 0.0 if path is None else Path(path).stat().st_mtime
    except OSError:
        return 0.0
